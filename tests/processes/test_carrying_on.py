"""A stream whose process was killed goes on in another one, and its readers notice nothing."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import pytest

from processes.stores import STORES, store
from processes.texts import Source

if TYPE_CHECKING:
    from pathlib import Path

    from processes.workers import Crew, Worker

LEASE = 1.5
# Kills, at random moments of one answer.
KILLS = 4
MANY_KILLS = 20
SOURCE = Source(count=400, pause=0.02)
LONG_SOURCE = Source(count=2_000, pause=0.02)


@pytest.mark.rule("P1", "P2", "CNT-1", "CNT-2", "CNT-3", "CNT-5")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", STORES)
async def test_an_answer_survives_every_kill(
    kind: str, crew: Crew, stream: str, tmp_path: Path
) -> None:
    await carry_through(kind, crew, stream, tmp_path, SOURCE, KILLS)


@pytest.mark.long
@pytest.mark.rule("P1", "P2", "CNT-1", "CNT-2", "CNT-3", "CNT-5")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", STORES)
async def test_a_long_answer_survives_twenty_kills(
    kind: str, crew: Crew, stream: str, tmp_path: Path
) -> None:
    await carry_through(kind, crew, stream, tmp_path, LONG_SOURCE, MANY_KILLS)


async def carry_through(
    kind: str, crew: Crew, stream: str, tmp_path: Path, source: Source, kills: int
) -> None:
    """Kill one producer after the other, and read from two places meanwhile."""
    rng = random.Random(f"{kind} {source.count}")
    async with store(kind, tmp_path) as kept:
        reading = await kept.worker(crew, durability="sync", lease=LEASE)
        producing = await kept.worker(crew, durability="sync", lease=LEASE)
        await producing.begin(stream, source)
        attached = asyncio.create_task(read_through(reading, stream, source))
        for _ in range(kills):
            await asyncio.sleep(rng.uniform(0.2, source.count * source.pause / kills))
            await producing.kill()
            producing = await kept.worker(crew, durability="sync", lease=LEASE)
            await carried_on(producing, stream, source)
        (await producing.read(stream)).check_complete()
        await attached
        late = await kept.worker(crew, durability="sync", lease=LEASE)
        assert await late.resume(stream, source) == "reading"
        (await late.read(stream)).check_complete()
        await crew.close()


async def carried_on(worker: Worker, stream: str, source: Source) -> None:
    """Continue the stream, once its dead producer's lease has run out."""
    command = {"stream": stream, "source": source.to_json(), "reader": stream}
    deadline = time.monotonic() + 20 * LEASE
    while (await worker.ask("carry_on", **command))["joined"] != "reading":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def read_through(worker: Worker, stream: str, source: Source) -> None:
    """Read the stream to its end, and come back with an event id as often as it is lost."""
    after: tuple[int, str | None] = (0, None)
    deadline = time.monotonic() + 300
    while True:
        assert time.monotonic() < deadline, f"still at {after}"
        known = {"after": after} if after[1] else {}
        if await worker.resume(stream, source, **known) == "reading":
            found = await worker.read(stream)
            assert found.difference is None
            if found.ending == "completed":
                assert found.whole
                return
            if found.chunks:
                after = (after[0] + found.chunks, found.last_event_id)
        await asyncio.sleep(0.1)
