"""No driver error leaves the adapter unmapped, and each refusal names its remedy at once."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any

import nats.errors
import pytest
from nats.js import api
from nats.js import errors as js_errors

from resumable_stream.errors import (
    BackendFaultError,
    BackendUnavailableError,
    MessageTooLargeError,
    OutcomeUnknownError,
)
from resumable_stream_nats import NatsBackend
from resumable_stream_nats._errors import LineLostError, denial_in, lost, refused
from support.inbox import Inbox
from support.nats_servers import BUCKET, NatsServer
from support.nats_users import backend_of, each_is_refused, users
from support.servers import eventually

if TYPE_CHECKING:
    from nats.aio.client import Client

DRIVER_ERRORS = [
    kind
    for module in (nats.errors, js_errors)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, Exception)
]

NAME = "resumable-stream:rs:sentinel:x"


def made(kind: type[Exception]) -> Exception:
    more: dict[type[Exception], tuple[Any, ...]] = {
        nats.errors.SlowConsumerError: ("subject", "", 1, None),
        js_errors.ConsumerSequenceMismatchError: ("1", 1, 2),
    }
    return kind(*more.get(kind, ()))


@pytest.mark.parametrize("kind", DRIVER_ERRORS)
def test_every_driver_error_has_a_mapping(kind: type[Exception]) -> None:
    error = made(kind)
    outcomes = [refused(error), lost(error, write=False), lost(error, write=True)]
    kinds = [BackendUnavailableError, BackendUnavailableError, OutcomeUnknownError]
    assert [type(outcome) for outcome in outcomes] == kinds
    assert all(outcome.__cause__ is error for outcome in outcomes)


@pytest.mark.parametrize("server_says", [LineLostError("gone"), nats.errors.Error("other")])
def test_only_a_violation_is_a_denial(server_says: Exception) -> None:
    assert denial_in(server_says) is None
    found = denial_in(Exception('nats: permissions violation for subscription to "a.b" using q'))
    assert found is not None
    assert (found.kind, found.subject) == ("subscription", "a.b")


@pytest.mark.parametrize("login", ["", "wrong@", "root:wrong@", "nobody:pw@"])
async def test_wrong_credentials_name_the_remedy(login: str) -> None:
    with NatsServer(users()) as server:
        backend = NatsBackend(server.url.replace("//", f"//{login}"))
        for error in await each_is_refused(backend, NAME):
            assert "credentials" in str(error)
            assert "wrong" not in str(error)
        await backend.aclose()


async def test_absent_jetstream_is_named() -> None:
    with NatsServer(jetstream=False) as server:
        backend = NatsBackend(server.url)
        for call in (backend.get(NAME), backend.create(NAME, "v", ttl=5), backend.delete(NAME)):
            with pytest.raises(BackendUnavailableError, match="nats-server -js"):
                await call
        await backend.aclose()


async def test_account_without_jetstream_is_told() -> None:
    config = "accounts: {BARE: {users: [{user: bare, password: pw}]}, SYS: {}}, system_account: SYS"
    with NatsServer(config) as server:
        backend = backend_of(server, "bare")
        with pytest.raises(BackendUnavailableError, match="for this account"):
            await backend.get(NAME)
        await backend.aclose()


async def test_old_server_is_told_by_its_version(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resumable_stream_nats._kept_stream._NEEDED_VERSION", (1000, 0))
    backend = NatsBackend(nats_server.url)
    for call in (backend.get(NAME), backend.set(NAME, "v", ttl=5)):
        with pytest.raises(
            BackendUnavailableError, match=r"nats-server 2\.\d+\.\d+ has no per-mes"
        ):
            await call
    # The backend left no stream behind that a newer server could not use.
    assert nats_server.look("jsz")["streams"] == 0
    await backend.aclose()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"subjects": ["elsewhere.>"]}, "choose another bucket"),
        ({"allow_msg_ttl": False}, "allow_msg_ttl"),
        ({"max_msgs_per_subject": 5}, "history of 5"),
        ({"max_age": 60.0}, "max_age"),
    ],
)
async def test_unfit_bucket_names_the_setting(
    nats_server: NatsServer, settings: dict[str, object], named: str
) -> None:
    nats_server.create_bucket(**settings)
    backend = NatsBackend(nats_server.url)
    for _ in range(2):
        with pytest.raises(BackendUnavailableError, match=named):
            await backend.create(NAME, "v", ttl=600)
    await backend.aclose()


@pytest.mark.parametrize("kind", [AttributeError, TypeError, NameError])
async def test_mistake_while_connecting_is_no_outage(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def mistaken(_client: object) -> bytes:
        raise kind("mistaken")

    monkeypatch.setattr("resumable_stream_nats._driver.OwnClient._connect_command", mistaken)
    backend = NatsBackend(nats_server.url)
    began = time.monotonic()
    for call in (
        backend.get(NAME),
        backend.create(NAME, "v", ttl=60),
        backend.publish(NAME, b"m"),
        Inbox().subscribe(backend, NAME),
    ):
        with pytest.raises(BackendFaultError, match="mistaken") as caught:
            await call
        assert not isinstance(caught.value, BackendUnavailableError)
        assert type(caught.value.__cause__) is kind
    assert time.monotonic() - began < 4
    await eventually(lambda: not nats_server.connections(), "the connections to go")
    await eventually(lambda: len(asyncio.all_tasks()) == 1, "the tasks to go")
    await backend.aclose()


async def test_too_many_replicas_are_told(nats_server: NatsServer) -> None:
    backend = NatsBackend(nats_server.url, replicas=3)
    with pytest.raises(BackendUnavailableError, match="replicas"):
        await backend.get(NAME)
    await backend.aclose()


async def test_full_bucket_executes_nothing(nats_server: NatsServer, own: NatsBackend) -> None:
    nats_server.create_bucket(max_bytes=1000, discard=api.DiscardPolicy.NEW)
    for write in (own.create(NAME, "x" * 4000, ttl=60), own.set(NAME, "x" * 4000, ttl=60)):
        with pytest.raises(BackendUnavailableError, match="maximum bytes"):
            await write
    assert await own.get(NAME) is None


async def test_oversized_value_is_refused_before_it_is_sent(own: NatsBackend) -> None:
    for size in (2**20 - 400, 2**20, 2**21):
        with pytest.raises(MessageTooLargeError):
            await own.set(NAME, "x" * size, ttl=60)
    await own.set(NAME, "x" * (2**20 - 600), ttl=60)


async def test_tiny_payload_limit_is_told() -> None:
    with NatsServer("max_payload: 2048") as server:
        backend = NatsBackend(server.url)
        for error in await each_is_refused(backend, NAME):
            assert "max_payload" in str(error)
        await backend.aclose()


async def test_foreign_value_compares_as_it_is(nats_server: NatsServer, own: NatsBackend) -> None:
    await own.set("k", "v", ttl=60)

    async def write(client: Client) -> None:
        jetstream = client.jetstream()
        await jetstream.publish(f"$KV.{BUCKET}.k", b"\xff")
        await jetstream.publish(f"$KV.{BUCKET}.purged", b"", headers={"KV-Operation": "PURGE"})
        await jetstream.publish(f"$KV.{BUCKET}.m", b"", headers={"Nats-Marker-Reason": "MaxAge"})

    nats_server.ask(write)
    there = await own.get("k")
    assert there is not None
    assert not await own.create("k", "v", ttl=60)
    assert not await own.compare_and_set("k", "\N{REPLACEMENT CHARACTER}", "v", ttl=60)
    assert await own.compare_and_set("k", there, "v", ttl=60)
    assert await own.get("k") == "v"
    for gone in ("purged", "m"):
        assert await own.get(gone) is None
        assert await own.create(gone, "v", ttl=60)
