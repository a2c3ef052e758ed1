"""Sets of Redis servers that lose one of them in the middle of a stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from processes.texts import Source
from processes.workers import state_reached
from support.servers import ClusterSet, SentinelSet

if TYPE_CHECKING:
    from processes.workers import Crew
    from support.servers import ValkeyServer

STEP = 50


async def lose(crew: Crew, stream: str, client: dict[str, Any], victim: ValkeyServer) -> None:
    producing, reading, late = [await crew.worker(more=client, lease=2.0) for _ in range(3)]
    source = Source(count=4 * STEP, gated_from=0)
    assert await producing.begin(stream, source) == "reading"
    assert await reading.resume(stream, source) == "reading"
    await producing.release(stream, STEP)
    (await reading.read(stream, limit=STEP)).check_part(None)
    victim.kill()
    await producing.release(stream, STEP)
    (await producing.read(stream, limit=2 * STEP)).check_part(None)
    (await reading.read(stream, limit=STEP)).check_part(None)
    await state_reached(late, stream, "active")
    assert await late.resume(stream, source) == "reading"
    await producing.release(stream)
    for found in await asyncio.gather(*(one.read(stream) for one in (producing, reading, late))):
        found.check_complete()
    await state_reached(late, stream, "completed")
    assert await producing.calls(stream) == 1


@pytest.mark.long
async def test_failover_loses_no_text(crew: Crew, stream: str) -> None:
    with SentinelSet() as servers:
        client = {"sentinels": servers.addresses, "service": servers.service}
        await lose(crew, stream, client, servers.primary)
        await crew.close()


@pytest.mark.long
@pytest.mark.parametrize("victim", [0, 1, 2])
async def test_lost_cluster_node_loses_no_text(crew: Crew, victim: int) -> None:
    with ClusterSet() as servers:
        client = {"cluster": [node.port for node in servers.nodes]}
        await lose(crew, "stream", client, servers.primaries[victim])
        await crew.close()
