"""Many streams leave nothing behind, neither in the processes nor at the broker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from processes.texts import Source
from processes.workers import Reading, begin, resume
from support.servers import eventually

if TYPE_CHECKING:
    from processes.workers import Crew, Worker
    from support.brokers import Broker

LANES = 50
WARM_UP = 300
MEGABYTE = 1024 * 1024
LEASE = 2.0

SOURCE = Source(count=6, gated_from=3)


async def some_streams(first: int, producing: Worker, reading: Worker) -> None:
    """Run ``LANES`` streams; every second reader is cancelled in the middle."""
    streams = [f"stream {number}" for number in range(first, first + LANES)]
    await producing.ask_all([begin(stream, SOURCE) for stream in streams])
    for worker in (producing, reading):
        joined = await worker.ask_all([resume(stream, SOURCE, stream + "!") for stream in streams])
        assert [answer["joined"] for answer in joined] == ["reading"] * LANES
        staying = [stream + "!" for stream in streams[::2]]
        leaving = [stream + "!" for stream in streams[1::2]]
        await worker.ask_all([{"do": "read_behind", "reader": reader} for reader in leaving])
        await worker.ask_all([{"do": "read", "reader": one, "limit": 3} for one in staying])
        await worker.ask_all([{"do": "abandon", "reader": reader} for reader in leaving])
    await producing.ask_all([{"do": "release", "stream": stream} for stream in streams])
    for worker in (producing, reading):
        reads = [{"do": "read", "reader": stream + "!"} for stream in streams[::2]]
        for answer in await worker.ask_all(reads):
            Reading(**answer).check_complete()
        await worker.ask("forget")


@pytest.mark.parametrize("streams", [600, pytest.param(2000, marks=pytest.mark.long)])
async def test_many_streams_leave_nothing(broker: Broker, crew: Crew, streams: int) -> None:
    options = {"lease": LEASE, "done_ttl": LEASE, "grace": 0.2}
    workers = [await crew.worker(broker.url, **options) for _ in range(2)]
    before = [await worker.ask("tasks") for worker in workers]
    for first in range(0, WARM_UP, LANES):
        await some_streams(first, *workers)
    warm = [worker.memory() for worker in workers]
    for first in range(WARM_UP, streams, LANES):
        await some_streams(first, *workers)
        found = broker.footprint()
        assert found.lasting_keys == 0
        assert found.subscribers <= 2
        assert found.connections <= 4
    for worker, memory in zip(workers, warm, strict=True):
        assert worker.memory() - memory < 8 * MEGABYTE
    await eventually(lambda: broker.footprint().channels == 0, "the subscriptions to go")
    await eventually(lambda: broker.footprint().keys == 0, "the keys to go")
    await asyncio.gather(*(worker.ask("close") for worker in workers))
    await eventually(lambda: broker.footprint().connections == 0, "the connections to go")
    assert [await worker.ask("tasks") for worker in workers] == before
