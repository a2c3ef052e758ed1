"""The user's own client: the backend works over it, does not close it, and leaves it as it was."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import nats
import pytest

from resumable_stream import create_resumable_stream_context
from resumable_stream.errors import (
    BackendUnavailableError,
)
from resumable_stream.ports import Loss
from resumable_stream_nats import NatsBackend
from support.calls import use
from support.inbox import Inbox
from support.nats_servers import NatsServer
from support.servers import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nats.aio.client import Client


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    """A client of the user's own, which reconnects at once."""
    client = await nats.connect(
        nats_server.address, reconnect_time_wait=0.05, max_reconnect_attempts=-1, error_cb=ignore
    )
    yield client
    await client.close()


async def ignore(error: Exception) -> None:
    pass


@pytest.mark.filterwarnings("ignore:parameter 'timeout' of type 'float':DeprecationWarning")
async def test_own_client_may_come_over_a_websocket(name: str) -> None:
    port = free_port()
    with NatsServer(f"websocket {{ port: {port}, no_tls: true, host: 127.0.0.1 }}"):
        client = await nats.connect(f"ws://127.0.0.1:{port}")
        backend = NatsBackend(client=client, storage="memory")
        await use(backend, name)
        for number in range(100):
            await backend.set(name, f"{number}", ttl=60)
        assert await backend.get(name) == "99"
        await backend.aclose()
        await client.close()


async def test_own_client_serves_and_stays_open(
    client: Client, nats_server: NatsServer, name: str
) -> None:
    one, other = (NatsBackend(client=client, storage="memory") for _ in range(2))
    heard = Inbox()
    await heard.subscribe(other, name + "other")
    await use(one, name)
    await use(other, name)
    assert len(nats_server.connections()) == 1
    await one.aclose()
    await other.publish(name + "other", b"x")
    await heard.received(b"x")
    await other.aclose()
    assert heard.losses == [Loss.CLOSED]
    await eventually(lambda: not nats_server.subjects(), "the backends' subjects to be left")
    await client.flush()
    assert client.is_connected


async def test_own_client_reconnects_for_its_readers(
    client: Client, nats_server: NatsServer, name: str, inbox: Inbox
) -> None:
    backend = NatsBackend(client=client, storage="memory", timeout=2)
    await inbox.subscribe(backend, name)
    for times in range(1, 4):
        nats_server.kill()
        await eventually(lambda: not client.is_connected, "the client to notice")
        for call in (backend.get(name), backend.publish(name, b"lost")):
            with pytest.raises(BackendUnavailableError):
                await call
        nats_server.start()
        await inbox.lost(times)
        await backend.publish(name, b"%d" % times)
        await inbox.received(*(b"%d" % number for number in range(1, times + 1)))
        await backend.set(name, "v", ttl=60)
    assert set(inbox.losses) == {Loss.RECONNECTED}
    await backend.aclose()
    await eventually(lambda: not nats_server.subjects(), "the subject to be left")


async def test_own_client_closed_for_good_is_told(
    nats_server: NatsServer, name: str, inbox: Inbox
) -> None:
    client = await nats.connect(nats_server.address)
    backend = NatsBackend(client=client, storage="memory")
    await inbox.subscribe(backend, name)
    await client.close()
    await inbox.lost()
    assert inbox.losses == [Loss.CLOSED]
    for call in (backend.get(name), backend.publish(name, b"m"), inbox.subscribe(backend, name)):
        with pytest.raises(BackendUnavailableError):
            await call
    await backend.aclose()
    assert len(asyncio.all_tasks()) == 1


async def test_own_client_hears_its_own_errors(name: str, inbox: Inbox) -> None:
    config = (
        "authorization: {users: [{user: u, password: p, "
        'permissions: {publish: {deny: ["denied.>"]}, subscribe: {deny: ["denied.>"]}}}]}'
    )
    heard: list[Exception] = []

    async def hear(error: Exception) -> None:
        heard.append(error)

    with NatsServer(config) as server:
        address = server.address.replace("//", "//u:p@")
        client = await nats.connect(address, error_cb=hear)
        backend = NatsBackend(client=client, storage="memory")
        for call in (backend.publish("denied:x", b""), inbox.subscribe(backend, "denied:x")):
            began = time.monotonic()
            with pytest.raises(BackendUnavailableError, match="lacks a right"):
                await call
            assert time.monotonic() - began < 2
        await backend.aclose()
        assert len(heard) == 2
        await client.publish("denied.y")
        await eventually(lambda: len(heard) == 3, "the client's own error")
        await client.close()


async def test_late_answers_leave_own_client_unharmed(
    client: Client, nats_server: NatsServer, name: str, inbox: Inbox
) -> None:
    backend = NatsBackend(client=client, storage="memory", timeout=0.5)
    await inbox.subscribe(backend, name)
    await backend.get(name)
    nats_server.freeze()
    calls = [
        backend.publish(name, b"late"),
        backend.get(name),
        Inbox().subscribe(backend, name + "x"),
    ]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, Exception) for outcome in outcomes)
    nats_server.thaw()
    await backend.publish(name, b"after")
    await eventually(lambda: b"after" in inbox.messages, "the message after the pause")
    await client.flush()
    assert client.stats["reconnects"] == 0
    await backend.aclose()


async def test_own_client_runs_streams(client: Client, nats_server: NatsServer) -> None:
    joined = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        for number in range(100):
            yield f"{number} "
            if number == 50:
                await joined.wait()

    backend = NatsBackend(client=client, storage="memory")
    async with (
        create_resumable_stream_context(backend=backend) as here,
        create_resumable_stream_context(nats_server.url) as there,
    ):
        stream = await here.create_new_resumable_stream("shared", source)
        first = [await anext(stream) for _ in range(10)]
        resumed = await there.resume_existing_stream("shared", sum(map(len, first)))
        assert resumed
        joined.set()
        rest = [chunk async for chunk in resumed]
        assert "".join(first + rest) == "".join(f"{number} " for number in range(100))
    await backend.aclose()
