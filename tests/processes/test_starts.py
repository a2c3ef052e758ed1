"""Starts: many at once, and readers that come at the same moment."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING

from processes.texts import Source
from processes.workers import Reading, begin, resume

if TYPE_CHECKING:
    from processes.workers import Crew
    from support.brokers import Broker

STARTS = 50
RACES = 500
LANES = 25


async def test_concurrent_starts_run_one_source(broker: Broker, crew: Crew, stream: str) -> None:
    workers = [await crew.worker(broker.url) for _ in range(4)]
    await asyncio.gather(*(worker.status(stream) for worker in workers))
    source = Source(gated_from=30)
    readers = [str(number) for number in range(STARTS)]
    commands = [begin(stream, source, reader) for reader in readers]
    at = time.monotonic() + 0.3
    joined = await asyncio.gather(*(worker.ask_all(commands, at=at) for worker in workers))
    assert [answer["joined"] for answers in joined for answer in answers] == ["reading"] * 200
    assert sum([await worker.calls(stream) for worker in workers]) == 1
    for worker in workers:
        await worker.release(stream)
    commands = [{"do": "read", "reader": reader} for reader in readers]
    for answers in await asyncio.gather(*(worker.ask_all(commands) for worker in workers)):
        for answer in answers:
            Reading(**answer).check_complete()
    assert sum([await worker.calls(stream) for worker in workers]) == 1


async def test_exclusive_starts_have_one_winner(broker: Broker, crew: Crew, stream: str) -> None:
    workers = [await crew.worker(broker.url) for _ in range(4)]
    await asyncio.gather(*(worker.status(stream) for worker in workers))
    commands = [
        begin(stream, Source(gated_from=30), str(number), new=True) for number in range(STARTS)
    ]
    at = time.monotonic() + 0.3
    joined = await asyncio.gather(*(worker.ask_all(commands, at=at) for worker in workers))
    found = Counter(answer["joined"] for answers in joined for answer in answers)
    assert found == {"reading": 1, "StreamExistsError": 199}
    assert sum([await worker.calls(stream) for worker in workers]) == 1


async def test_reader_may_come_with_the_start(broker: Broker, crew: Crew, stream: str) -> None:
    producing, reading = [await crew.worker(broker.url) for _ in range(2)]
    source = Source(count=5, gated_from=2)
    for first in range(0, RACES, LANES):
        streams = [f"{stream} {number}" for number in range(first, first + LANES)]
        chases = reading.ask_all([resume(name, source, chase=True) for name in streams])
        starts = producing.ask_all([begin(name, source) for name in streams])
        for answers in await asyncio.gather(chases, starts):
            assert [answer["joined"] for answer in answers] == ["reading"] * LANES
        reads = reading.ask_all([{"do": "read", "reader": name} for name in streams])
        opens = producing.ask_all([{"do": "release", "stream": name} for name in streams])
        for answer in (await asyncio.gather(reads, opens))[0]:
            Reading(**answer).check_complete()
