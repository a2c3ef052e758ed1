"""A backend makes one connection, to any server of its list or one that such a server announced."""

from __future__ import annotations

import asyncio

from resumable_stream_nats import NatsBackend
from support.calls import use
from support.fault_proxy import FaultProxy
from support.inbox import Inbox
from support.nats_servers import NatsCluster, NatsServer
from support.servers import eventually, free_port


async def test_one_connection_serves_everything(
    own: NatsBackend, nats_server: NatsServer, name: str
) -> None:
    await use(own, name)
    assert len(nats_server.connections()) == 1
    assert nats_server.connections()[0]["name"] == "resumable-stream"
    await own.aclose()
    await eventually(lambda: not nats_server.connections(), "the connection to close")
    assert len(asyncio.all_tasks()) == 1


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
