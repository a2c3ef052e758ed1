"""Redis: URLs and settings, TLS, closing, and the user's own clients."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, Literal

import pytest
import redis.asyncio as aioredis

from resumable_stream.errors import (
    BackendUnavailableError,
    InvalidSettingError,
)
from resumable_stream.ports import Loss
from resumable_stream_redis import RedisBackend, open_backend
from support.calls import use
from support.certificates import self_signed
from support.fault_proxy import FaultProxy
from support.inbox import Inbox
from support.servers import ValkeyServer

if TYPE_CHECKING:
    from pathlib import Path


async def test_close_before_anything_was_sent_executes_nothing(
    own: RedisBackend, valkey: ValkeyServer, name: str, inbox: Inbox
) -> None:
    await inbox.subscribe(own, name)
    valkey.freeze()
    # There is no connection for commands yet.
    write = asyncio.create_task(own.set(name, "v", ttl=60))
    late = asyncio.create_task(Inbox().subscribe(own, name + "late"))
    await asyncio.sleep(0)
    await own.aclose()
    assert inbox.losses == [Loss.CLOSED]
    outcomes = await asyncio.gather(write, late, return_exceptions=True)
    assert all(isinstance(outcome, BackendUnavailableError) for outcome in outcomes)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("decode_responses", [False, True])
async def test_own_client_serves_and_stays_open(
    redis_url: str,
    name: str,
    decode_responses: Literal[True, False],
    protocol: int,
) -> None:
    client = aioredis.Redis.from_url(
        redis_url, decode_responses=decode_responses, protocol=protocol, max_connections=1
    )
    backend = RedisBackend(client=client)
    # The client's only connection is in use throughout.
    async with client.client() as busy:
        await busy.ping()
        await use(backend, name)
    await backend.aclose()
    assert await client.ping()
    await client.aclose()


async def test_retrying_client_repeats_no_write(valkey: ValkeyServer, name: str) -> None:
    async with FaultProxy(valkey.port) as proxy:
        client = aioredis.Redis(host="127.0.0.1", port=proxy.port)
        backend = RedisBackend(client=client, timeout=1)
        await backend.get(name)
        proxy.to_client.black_hole = True
        with pytest.raises(Exception, match="after a command was sent"):
            await backend.publish(name, b"once")
        with valkey.client() as direct:
            assert direct.info("commandstats")["cmdstat_publish"]["calls"] == 1
        await backend.aclose()
        await client.aclose()


async def test_unix_socket_serves(name: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with ValkeyServer("--unixsocket", str(path)):
        backend = RedisBackend(f"unix://{path}")
        await use(backend, name)
        await backend.aclose()


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
async def test_tls_serves_and_verifies(
    valkey: ValkeyServer, name: str, tmp_path: Path, scheme: str
) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with FaultProxy(valkey.port, tls=context) as proxy:
        url = f"{scheme}://localhost:{proxy.port}/0"
        backend = RedisBackend(f"{url}?ssl_ca_certs={certificate}")
        await use(backend, name)
        await backend.aclose()
        stranger = RedisBackend(url)
        with pytest.raises(BackendUnavailableError, match="certificate"):
            await stranger.get(name)
        await stranger.aclose()


async def test_valkey_scheme_is_redis(valkey: ValkeyServer, name: str) -> None:
    backend = open_backend(valkey.url.replace("redis://", "valkey://"))
    await use(backend, name)
    await backend.aclose()


@pytest.mark.parametrize(
    "url",
    ["redis://u:secret@host:port", "redis://u:secret@h/0?colour=red", "redis://u:secret@h?db=x"],
)
def test_unusable_url_is_refused_without_secrets(url: str) -> None:
    with pytest.raises(InvalidSettingError) as caught:
        open_backend(url)
    assert "secret" not in str(caught.value)


def test_settings_that_cannot_be_meant() -> None:
    mistakes: list[dict[str, Any]] = [
        {},
        {"url": "redis://h", "client": aioredis.Redis()},
        {"url": "redis://h", "timeout": 0},
        {"client": "redis://h"},
    ]
    for mistake in mistakes:
        with pytest.raises(InvalidSettingError):
            RedisBackend(**mistake)


async def test_no_call_suspects_the_end_of_the_loop_while_it_runs(
    own: RedisBackend, name: str, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # To find out, a call looks at all tasks of the loop.
    looked = list[object]()
    monkeypatch.setattr("resumable_stream.adapter_kit._worker.is_cut_off", looked.append)
    monkeypatch.setattr("resumable_stream_redis._hub.PING_INTERVAL", 0.01)
    monkeypatch.setattr("resumable_stream_redis._pipe._LINGER", 0.01)
    over = asyncio.Event()
    await inbox.subscribe(own, name)
    parts = own._bound.get()

    async def call() -> None:
        while not over.is_set():
            assert not parts.cut_off
            await asyncio.sleep(0)

    calling = asyncio.create_task(call())
    messages = [b"%d" % number for number in range(300)]
    for message in messages:
        await own.publish(name, message)
    await inbox.received(*messages)
    over.set()
    await calling
    assert looked == []
