"""A NATS cluster that loses a node in the middle of a stream, and servers that come back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from processes.texts import Source
from processes.workers import state_reached
from support.nats_servers import NatsCluster, NatsServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from processes.workers import Crew, Worker

STEP = 50
SOURCE = Source(count=6 * STEP, gated_from=0)

# A stream that has lost its leader elects another one within this time.
ELECTION = 15.0


ATTEMPTS = 5


@pytest.fixture
def cluster() -> Iterator[NatsCluster]:
    with NatsCluster() as cluster:
        yield cluster


async def advance(stream: str, producing: Worker, *reading: Worker) -> None:
    """Let some text through, to every reader."""
    await producing.release(stream, STEP)
    for worker in (producing, *reading):
        (await worker.read(stream, limit=STEP)).check_part(None)


async def finish(stream: str, producing: Worker, *reading: Worker) -> None:
    await producing.release(stream)
    for worker in (producing, *reading):
        (await worker.read(stream)).check_complete()
    await state_reached(reading[0], stream, "completed", limit=ELECTION + 10)
    assert await producing.calls(stream) == 1


async def begin(cluster: NatsCluster, crew: Crew, stream: str) -> list[Worker]:
    """Start a producer and two readers, each on a node of its own."""
    urls = [cluster.url_from(0), cluster.url_from(1), cluster.url_from(2)]
    workers = [await crew.worker(url, lease=30.0) for url in urls]
    producing, *reading = workers
    assert await producing.begin(stream, SOURCE) == "reading"
    for worker in reading:
        # On a busy machine a new cluster may still be electing leaders, and is then unavailable.
        state = ""
        for _ in range(ATTEMPTS):
            if (state := await worker.resume(stream, SOURCE)) != "BackendUnavailableError":
                break
        assert state == "reading"
    await advance(stream, *workers)
    return workers


async def test_nodes_share_streams(cluster: NatsCluster, crew: Crew) -> None:
    workers = await begin(cluster, crew, "one")
    for number in range(20):
        # The reader joins at once on another node, which may not know of the subscription yet.
        here, there = workers[number % 3], workers[(number + 1) % 3]
        stream = f"stream {number}"
        assert await here.begin(stream, SOURCE) == "reading"
        assert await there.resume(stream, SOURCE) == "reading"
        await here.release(stream)
        for worker in (here, there):
            (await worker.read(stream)).check_complete()
    await finish("one", *workers)
    await crew.close()


@pytest.mark.parametrize("victim", [0, 1, 2], ids=["producers", "readers", "others"])
async def test_lost_node_loses_no_text(
    cluster: NatsCluster, crew: Crew, stream: str, victim: int
) -> None:
    workers = await begin(cluster, crew, stream)
    cluster.nodes[victim].kill()
    await advance(stream, *workers)
    await advance(stream, *workers)
    await finish(stream, *workers)
    await crew.close()


@pytest.mark.long
async def test_every_node_may_be_lost_in_turn(cluster: NatsCluster, crew: Crew) -> None:
    workers = await begin(cluster, crew, "stream")
    for node in cluster.nodes:
        node.kill()
        await advance("stream", *workers)
        node.launch()
        await asyncio.to_thread(cluster.wait_until_ready)
    await finish("stream", *workers)
    await crew.close()


@pytest.mark.long
@pytest.mark.parametrize("frozen", [False, True], ids=["killed", "frozen"])
async def test_leader_lost_while_a_lease_is_due(
    cluster: NatsCluster, crew: Crew, stream: str, *, frozen: bool
) -> None:
    lease = 20.0
    producing, reading = [await crew.worker(cluster.url, lease=lease) for _ in range(2)]
    assert await producing.begin(stream, SOURCE) == "reading"
    assert await reading.resume(stream, SOURCE) == "reading"
    leader = cluster.leader()
    if frozen:
        leader.freeze()
    else:
        leader.kill()
    # Renewals during the election fail; without one after it, the lease would run out.
    await asyncio.sleep(1.2 * lease)
    await advance(stream, producing, reading)
    assert await reading.status(stream) == "active"
    await finish(stream, producing, reading)
    if frozen:
        leader.thaw()
    await crew.close()


@pytest.mark.parametrize("storage", ["memory", "file"])
async def test_restarted_server_forgets_no_stream(crew: Crew, storage: str) -> None:
    with NatsServer(remembers=True) as server:
        server.storage = storage
        producing, reading = [await crew.worker(server.url, lease=4.0) for _ in range(2)]
        assert await producing.begin("over", Source()) == "reading"
        (await producing.read("over")).check_complete()
        await state_reached(reading, "over", "completed")
        assert await producing.begin("running", SOURCE) == "reading"
        assert await reading.resume("running", SOURCE) == "reading"
        for _ in range(3):
            server.restart()
            await advance("running", producing, reading)
            await state_reached(reading, "running", "active")
        # Only a bucket in files remembers a stream that is over.
        remembered = "completed" if storage == "file" else "not_found"
        assert await reading.status("over") == remembered
        await finish("running", producing, reading)
        await crew.close()
