"""URLs and arguments: which are accepted, and which are refused, with no secret in the error."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import nats
import pytest
from nats.aio.client import Client

from resumable_stream.errors import BackendUnavailableError, InvalidSettingError
from resumable_stream_nats import NatsBackend, open_backend
from resumable_stream_nats._settings import BucketSettings, parse_url
from support.servers import free_port

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("url", "urls"),
    [
        ("nats://h", ["nats://h:4222"]),
        ("nats://h:1,i:2", ["nats://h:1", "nats://i:2"]),
        ("nats://h:1,nats://i", ["nats://h:1", "nats://i:4222"]),
        ("tls://u:p@h,i/?bucket=b", ["tls://h:4222", "tls://i:4222"]),
        ("NATS://[::1]:7", ["nats://[::1]:7"]),
    ],
)
def test_servers_are_read(url: str, urls: list[str]) -> None:
    assert list(parse_url(url).servers.urls) == urls


@pytest.mark.parametrize(
    ("url", "login"),
    [
        ("nats://h", {}),
        ("nats://t%40ken@h", {"token": "t@ken"}),
        ("nats://u:p%2Fw%3F@h,i", {"user": "u", "password": "p/w?"}),
        ("nats://h,u:@i", {"user": "u", "password": ""}),
    ],
)
def test_login_is_read(url: str, login: dict[str, str]) -> None:
    assert parse_url(url).servers.login == login


@pytest.mark.parametrize(
    "url",
    [
        "nats://",
        "nats://u:secret@",
        "nats://u:secret@h:port",
        "nats://u:secret@h:0",
        "nats://u:secret@h:65536",
        "nats://u:secret@h/path",
        "nats://u:secret@h,,i",
        "nats://u:secret@h,tls://i",
        "nats://u:secret@h,ws://i",
        "nats://u:secret@h?colour=red",
        "nats://u:secret@h?bucket",
        "nats://u:secret@h?bucket=a.b",
        "nats://u:secret@h?bucket=",
        "nats://u:secret@h?storage=tape",
        "nats://u:secret@h?replicas=0",
        "nats://u:secret@h?replicas=6",
        "nats://u:secret@h?replicas=three",
        "nats://u:secret@h?domain=",
        "nats://u:secret@h?domain=a.b",
        "nats://u:secret@h?domain=%3E",
        "nats://u:secret@h?inbox_prefix=",
        "nats://u:secret@h?inbox_prefix=a..b",
        "nats://u:secret@h?inbox_prefix=.a",
        "nats://u:secret@h?inbox_prefix=a.*",
        "nats://u:secret@h?inbox_prefix=a%20b",
        "nats://u:secret@h?tls_key=/nowhere",
        "nats://u:secret@h?tls_ca=/nowhere",
        "nats://u:secret#@h",
    ],
)
def test_unusable_url_is_refused_without_secrets(url: str) -> None:
    with pytest.raises(InvalidSettingError) as caught:
        open_backend(url)
    assert "secret" not in str(caught.value)


def test_settings_that_cannot_be_meant(tmp_path: Path) -> None:
    quiet = Client()
    quiet.options["no_echo"] = True
    mistakes: list[dict[str, Any]] = [
        {},
        {"url": "nats://h", "client": Client()},
        {"url": "nats://h", "timeout": 0},
        {"url": "nats://h", "bucket": "a b"},
        {"url": "nats://h", "storage": "disk"},
        {"url": "nats://h", "replicas": "many"},
        {"client": "nats://h"},
        {"client": quiet},
        {"url": "nats://h", "domain": "a.b"},
        {"url": "nats://h", "domain": "x" * 65},
        {"url": "nats://h", "inbox_prefix": "_INBOX.>"},
        {"url": "nats://h", "inbox_prefix": "a."},
        {"url": "nats://h", "inbox_prefix": "a\r\nSUB > 1"},
        {"url": "nats://h", "inbox_prefix": "x" * 65},
        {"client": Client(), "credentials": tmp_path},
        {"client": Client(), "inbox_prefix": "a"},
    ]
    for mistake in mistakes:
        with pytest.raises(InvalidSettingError):
            NatsBackend(**mistake)


class Stranger:
    __module__ = "elsewhere"


@pytest.mark.parametrize(
    ("client", "told"),
    [
        ("nats://u:secret@h", "first argument"),
        (Client, "the class nats.aio.client.Client: pass a connected"),
        (Stranger(), "a elsewhere.Stranger: pass a connected"),
        (7, "a builtins.int"),
    ],
)
def test_what_is_no_client_is_refused_with_the_remedy(client: Any, told: str) -> None:
    with pytest.raises(InvalidSettingError, match=told) as caught:
        NatsBackend(client=client)
    assert "secret" not in str(caught.value)


def test_client_that_was_not_awaited_is_told() -> None:
    client: Any = nats.connect("nats://h")
    with pytest.raises(InvalidSettingError, match=r"await nats\.connect"):
        NatsBackend(client=client)


def test_client_in_place_of_the_url_is_told() -> None:
    client: Any = Client()
    with pytest.raises(InvalidSettingError, match="pass it as client="):
        NatsBackend(client)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "5", None])
def test_timeout_is_a_positive_number(timeout: Any) -> None:
    with pytest.raises(InvalidSettingError, match="timeout"):
        NatsBackend("nats://h", timeout=timeout)


def test_argument_takes_precedence_over_url() -> None:
    url = "nats://h?bucket=u&storage=memory&replicas=3&domain=u"
    backend = NatsBackend(url, bucket="b", replicas=1, domain="d")
    assert backend._setup.bucket == BucketSettings("b", "memory", 1, "d")


def test_opening_connects_to_nothing() -> None:
    backend = open_backend(f"nats://127.0.0.1:{free_port()}")
    asyncio.run(backend.aclose())
    with pytest.raises(BackendUnavailableError):
        asyncio.run(backend.get("k"))
