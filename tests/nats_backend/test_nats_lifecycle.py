"""Opening, closing, event loops one after another, TLS, credentials, and the user's own client."""

from __future__ import annotations

import asyncio
import gc
import ssl
import time
from typing import TYPE_CHECKING

import nats
import pytest

from resumable_stream import create_resumable_stream_context
from resumable_stream.errors import (
    BackendUnavailableError,
    MessageTooLargeError,
    WrongEventLoopError,
)
from resumable_stream.ports import Loss
from resumable_stream_nats import NatsBackend
from support.certificates import NatsOperator, self_signed
from support.fault_proxy import FaultProxy
from support.inbox import Inbox
from support.nats_servers import NatsCluster, NatsServer
from support.servers import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nats.aio.client import Client


async def use(backend: NatsBackend, name: str) -> None:
    inbox = Inbox()
    subscription = await inbox.subscribe(backend, name)
    await backend.set(name, "grüße", ttl=60)
    assert await backend.compare_and_set(name, "grüße", "🙂", ttl=60)
    assert await backend.get(name) == "🙂"
    await backend.publish(name, b"\xff\x00")
    await inbox.received(b"\xff\x00")
    await subscription.aclose()


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


@pytest.mark.filterwarnings("error")
def test_backend_follows_to_next_loop(nats_server: NatsServer, name: str) -> None:
    backend = NatsBackend(nats_server.url)

    async def leave_everything_open() -> None:
        await backend.set(name, "v", ttl=60)
        await Inbox().subscribe(backend, name)

    for _ in range(3):
        asyncio.run(leave_everything_open())
        gc.collect()
        asyncio.run(eventually(lambda: not nats_server.connections(), "all to be closed"))
    asyncio.run(backend.aclose())


async def test_second_running_loop_is_refused(backend: NatsBackend, name: str) -> None:
    await backend.get(name)
    with pytest.raises(WrongEventLoopError, match="another event loop"):
        await asyncio.to_thread(lambda: asyncio.run(backend.get(name)))


async def test_one_connection_serves_everything(
    own: NatsBackend, nats_server: NatsServer, name: str
) -> None:
    await use(own, name)
    assert len(nats_server.connections()) == 1
    assert nats_server.connections()[0]["name"] == "resumable-stream"
    await own.aclose()
    await eventually(lambda: not nats_server.connections(), "the connection to close")
    assert len(asyncio.all_tasks()) == 1


async def test_close_tells_subscribers_and_callers(
    own: NatsBackend, nats_server: NatsServer, name: str, inbox: Inbox
) -> None:
    subscription = await inbox.subscribe(own, name)
    await own.get(name)
    nats_server.freeze()
    calls = [
        asyncio.create_task(own.set(name, "v", ttl=60)),
        asyncio.create_task(own.publish(name, b"m")),
        asyncio.create_task(own.get(name)),
    ]
    late = asyncio.create_task(Inbox().subscribe(own, name + "late"))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await own.aclose()
    await own.aclose()
    assert time.monotonic() - began < 3
    assert inbox.losses == [Loss.CLOSED]
    outcomes = await asyncio.gather(*calls, late, return_exceptions=True)
    kinds = [type(outcome).__name__ for outcome in outcomes]
    unknown, unavailable = "OutcomeUnknownError", "BackendUnavailableError"
    assert kinds == [unknown, unknown, unavailable, unavailable]
    await subscription.aclose()
    for call in (own.get(name), own.publish(name, b""), inbox.subscribe(own, name)):
        with pytest.raises(BackendUnavailableError):
            await call
    assert len(asyncio.all_tasks()) == 1


async def test_lost_connections_leave_no_task(nats_server: NatsServer, name: str) -> None:
    async with FaultProxy(nats_server.port) as proxy:
        backend = NatsBackend(nats_server.url_at(proxy.port), timeout=1)
        inbox = Inbox()
        await inbox.subscribe(backend, name)
        await backend.get(name)
        tasks = len(asyncio.all_tasks())
        for times in range(1, 21):
            # With something on its way, nats-py stops half-way through its own closing.
            unsent = asyncio.create_task(backend.publish(name, b"x" * 300_000))
            await asyncio.sleep(0)
            proxy.cut()
            await asyncio.wait([unsent])
            await inbox.lost(times)
            await backend.get(name)
        await eventually(lambda: len(asyncio.all_tasks()) <= tasks, "the lost ones' tasks to end")
        await backend.aclose()


async def test_any_server_of_the_list_will_do(nats_server: NatsServer, name: str) -> None:
    dead = ",".join(f"127.0.0.1:{free_port()}" for _ in range(2))
    for _ in range(5):
        backend = NatsBackend(f"nats://{dead},127.0.0.1:{nats_server.port}?storage=memory")
        await use(backend, name)
        await backend.aclose()


async def test_silent_server_of_the_list_holds_nobody_up(
    nats_server: NatsServer, name: str
) -> None:
    async with FaultProxy(1) as silent:
        silent.to_client.black_hole = True
        urls = f"nats://127.0.0.1:{silent.port},127.0.0.1:{nats_server.port}?storage=memory"
        for _ in range(4):
            backend = NatsBackend(urls, timeout=2)
            await use(backend, name)
            await backend.aclose()


async def test_announced_server_is_found(name: str) -> None:
    with NatsCluster() as cluster:
        backend = NatsBackend(cluster.url_from(0))
        await use(backend, name)
        cluster.nodes[0].kill()
        inbox = Inbox()
        await inbox.subscribe(backend, name)
        await backend.publish(name, b"x")
        await inbox.received(b"x")
        await backend.aclose()


@pytest.mark.parametrize("way", ["files", "context"])
async def test_tls_serves_and_verifies(name: str, tmp_path: Path, way: str) -> None:
    certificate, key = self_signed(tmp_path)
    with NatsServer(f'tls: {{cert_file: "{certificate}", key_file: "{key}"}}') as server:
        url = server.url.replace("nats://127.0.0.1", "tls://localhost")
        if way == "files":
            backend = NatsBackend(f"{url}&tls_ca={certificate}")
        else:
            backend = NatsBackend(url, tls=ssl.create_default_context(cafile=certificate))
        await use(backend, name)
        assert server.connections()[0]["tls_version"].startswith("1.")
        await backend.aclose()
        stranger = NatsBackend(url)
        for call in (stranger.get(name), Inbox().subscribe(stranger, name)):
            began = time.monotonic()
            with pytest.raises(BackendUnavailableError, match="certificate"):
                await call
            assert time.monotonic() - began < 3
        await stranger.aclose()


async def test_client_certificate_is_shown(name: str, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    files = f'cert_file: "{certificate}", key_file: "{key}", ca_file: "{certificate}"'
    with NatsServer(f"tls: {{{files}, verify: true}}") as server:
        url = f"tls://localhost:{server.port}?storage=memory&tls_ca={certificate}"
        backend = NatsBackend(f"{url}&tls_cert={certificate}&tls_key={key}")
        await use(backend, name)
        await backend.aclose()
        stranger = NatsBackend(url, timeout=2)
        with pytest.raises(BackendUnavailableError):
            await stranger.get(name)
        await stranger.aclose()


async def test_tls_url_sends_no_secret_in_the_clear(name: str) -> None:
    heard = bytearray()

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.0","max_payload":1048576}\r\n')
        heard.extend(await reader.read())
        writer.close()

    pretender = await asyncio.start_server(pretend, "127.0.0.1", 0)
    port = pretender.sockets[0].getsockname()[1]
    backend = NatsBackend(f"tls://user:secret@127.0.0.1:{port}", timeout=2)
    with pytest.raises(BackendUnavailableError, match="TLS"):
        await backend.get(name)
    await backend.aclose()
    pretender.close()
    assert b"secret" not in heard


async def test_credentials_file_opens_the_door(name: str, tmp_path: Path) -> None:
    operator = NatsOperator()
    credentials = operator.credentials(tmp_path)
    with NatsServer(operator.config) as server:
        for backend in (
            NatsBackend(server.url, credentials=credentials),
            NatsBackend(f"{server.url}&credentials={credentials}"),
        ):
            await use(backend, name)
            await backend.aclose()
        for stranger in (
            NatsBackend(server.url),
            NatsBackend(server.url, credentials=NatsOperator().credentials(tmp_path)),
            NatsBackend(server.url, credentials=tmp_path / "missing.creds"),
        ):
            with pytest.raises(BackendUnavailableError, match=r"credentials|missing\.creds"):
                await stranger.get(name)
            await stranger.aclose()


async def test_accounts_own_payload_limit_is_kept(name: str, tmp_path: Path) -> None:
    operator = NatsOperator()
    with NatsServer(operator.config) as server:
        credentials = operator.credentials(tmp_path, payload=20_000)
        backend, inbox = NatsBackend(server.url, credentials=credentials), Inbox()
        await inbox.subscribe(backend, name)
        assert backend.max_message_size == 20_000
        with pytest.raises(MessageTooLargeError):
            await backend.publish(name, b"x" * 20_001)
        await backend.publish(name, b"x" * 20_000)
        await inbox.received(b"x" * 20_000)
        assert inbox.losses == []
        await backend.aclose()


@pytest.mark.parametrize("login", ["user:p%40ss@", "t%2Fken@"])
async def test_login_in_the_url_opens_the_door(name: str, login: str) -> None:
    config = {
        "user:p%40ss@": 'authorization: {user: user, password: "p@ss"}',
        "t%2Fken@": 'authorization: {token: "t/ken"}',
    }[login]
    # The test looks through the monitoring port only: it has no login of its own.
    with NatsServer(config) as server:
        backend = NatsBackend(server.url.replace("//", f"//{login}"))
        await use(backend, name)
        await backend.aclose()


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
