"""Producers killed in chosen moments, and what readers get of their text, by durability.

One process produces a stream for each moment, and is killed while all of them stand there.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from processes.holds import Point
from processes.stores import STORES, Written, store
from processes.texts import Source
from processes.workers import Reading, begin, resume

if TYPE_CHECKING:
    from pathlib import Path

    from processes.stores import Store
    from processes.workers import Crew, Worker

LEASE = 1.5
LOST = "ProducerLostError"
FIRST = 40
SOURCE = Source(count=80, gated_from=FIRST)
OTHER = Source(seed=2, count=10)
ALL = SOURCE.count


@dataclass(frozen=True)
class Death:
    """A moment in which a producer is killed, and what there is of its text.

    Attributes:
        point: where it is held; None to kill it while nothing is being written.
        permits: how many chunks follow the first ones; None for all, and the end.
        live: how many chunks readers have before.
        written: how many chunks are in the log.
        kept: how many chunks later readers get; None if nothing is remembered.
        ending: how the stream ends for all readers.
        early: it is held before anything is written.
    """

    point: Point | None
    permits: int | None
    live: int
    written: int
    kept: int | None
    ending: str = LOST
    early: bool = False

    @property
    def name(self) -> str:
        return f"{self.point or 'running'}{' first' * self.early}"

    @property
    def final(self) -> int:
        """How many chunks a reader gets that was attached."""
        return max(self.live, self.kept or 0)


DEATHS = {
    "exit": [
        Death(None, 0, FIRST, 0, None),
        Death(Point.APPENDING, None, ALL, 0, None),
        Death(Point.APPENDED, None, ALL, ALL, None),
        Death(Point.RECORDING, None, ALL, ALL, None),
        Death(Point.MARKING, None, ALL, ALL, ALL, "completed"),
    ],
    "async": [
        Death(Point.POINTING, 0, FIRST, 0, None, early=True),
        Death(Point.APPENDING, 0, FIRST, 0, 0, early=True),
        Death(None, 0, FIRST, FIRST, FIRST),
        Death(Point.APPENDING, 1, FIRST + 1, FIRST, FIRST),
        Death(Point.APPENDED, 1, FIRST + 1, FIRST + 1, FIRST + 1),
        Death(Point.RECORDING, None, ALL, ALL, ALL, "completed"),
        Death(Point.MARKING, None, ALL, ALL, ALL, "completed"),
    ],
    "sync": [
        Death(Point.POINTING, 0, 0, 0, None, early=True),
        Death(Point.APPENDING, 0, 0, 0, 0, early=True),
        Death(None, 0, FIRST, FIRST, FIRST),
        Death(Point.APPENDING, 1, FIRST, FIRST, FIRST),
        Death(Point.APPENDED, 1, FIRST, FIRST + 1, FIRST + 1),
        Death(Point.RECORDING, None, ALL, ALL, ALL, "completed"),
        Death(Point.MARKING, None, ALL, ALL, ALL, "completed"),
    ],
}

# The others run with --long.
_USUAL = {
    *(("redis", durability) for durability in DEATHS),
    *(("nats", "async"), ("nats", "sync")),
    *(("redis and sqlite", "sync"), ("nats and sqlite", "async")),
}
CASES = [
    pytest.param(
        kind,
        durability,
        marks=[] if (kind, durability) in _USUAL else pytest.mark.long,
        id=f"{kind}-{durability}",
    )
    for kind in STORES
    for durability in DEATHS
]


@pytest.mark.rule("P1", "P3", "P4", "P5", "P12")
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("kind", "durability"), CASES)
async def test_killed_producer_leaves_what_its_durability_promises(
    kind: str, durability: str, crew: Crew, stream: str, tmp_path: Path
) -> None:
    deaths = {f"{death.name} {stream}": death for death in DEATHS[durability]}
    async with store(kind, tmp_path) as kept:
        producing = await kept.worker(crew, durability=durability, lease=LEASE, holds=True)
        attached, late = [
            await kept.worker(crew, durability="async", lease=LEASE) for _ in range(2)
        ]
        generations = await all_begun(kept, producing, deaths)
        await all_answer(attached, [resume(stream, SOURCE) for stream in deaths], "reading")
        reading = asyncio.create_task(
            attached.ask_all([{"do": "read", "reader": stream} for stream in deaths])
        )
        await come_to_their_moments(kept, producing, deaths, generations)
        for worker in (producing, attached):
            await all_have(worker, {stream: death.live for stream, death in deaths.items()})
        await producing.kill()
        killed = time.monotonic()
        await check_written(kept, deaths, generations, durability)
        for (name, death), found in zip(deaths.items(), await reading, strict=True):
            check_ending(name, death, death.final, Reading(**found))
        assert time.monotonic() - killed < 10 * LEASE
        await all_are_over(late, deaths)
        new = await kept.worker(crew, durability="async", lease=LEASE)
        for worker in (late, new):
            await all_are_resumed(worker, deaths)
        await all_are_started_once(late, deaths)
        await all_are_deleted(new, deaths)
        for name, generation in generations.items():
            if deaths[name].kept is not None:
                assert await kept.written(name, generation) == Written("", None), name
        await crew.close()


async def all_begun(kept: Store, producing: Worker, deaths: dict[str, Death]) -> dict[str, int]:
    """Start all streams, each with a reader beside it; return their generations."""
    await producing.ask_all([hold(stream, one) for stream, one in deaths.items() if one.early])
    await all_answer(producing, [begin(stream, SOURCE) for stream in deaths], "reading")
    await producing.ask_all([{"do": "read_behind", "reader": stream} for stream in deaths])
    return {stream: kept.generation(stream) for stream in deaths}


async def come_to_their_moments(
    kept: Store, producing: Worker, deaths: dict[str, Death], generations: dict[str, int]
) -> None:
    """Lead each producer to where it is to be killed."""
    later = {stream: one for stream, one in deaths.items() if not one.early}
    for stream, death in later.items():
        if death.kept is not None and Death(None, 0, FIRST, FIRST, FIRST) in deaths.values():
            await has_written(kept, stream, generations[stream])
    await producing.ask_all([hold(stream, one) for stream, one in later.items() if one.point])
    await producing.ask_all(
        [
            {"do": "release", "stream": stream, "permits": death.permits}
            for stream, death in later.items()
        ]
    )
    held = [stream for stream, death in deaths.items() if death.point]
    await producing.ask_all([{"do": "held", "stream": stream} for stream in held])


async def has_written(kept: Store, stream: str, generation: int) -> None:
    """Wait until the journal has the first chunks."""
    deadline = time.monotonic() + 20
    while (found := await kept.written(stream, generation)).text != text_of(FIRST):
        assert time.monotonic() < deadline, f"{stream!r} has written {len(found.text)}"
        await asyncio.sleep(0.05)


async def all_have(worker: Worker, chunks: dict[str, int]) -> None:
    """Wait until the readers have read that many chunks."""
    looks = [{"do": "progress", "reader": stream} for stream in chunks]
    deadline = time.monotonic() + 20
    while (found := await worker.ask_all(looks)) != list(chunks.values()):
        assert time.monotonic() < deadline, dict(zip(chunks, found, strict=True))
        await asyncio.sleep(0.05)


async def check_written(
    kept: Store, deaths: dict[str, Death], generations: dict[str, int], durability: str
) -> None:
    """Check the journal's own content; with "sync" no reader may have had more."""
    for stream, death in deaths.items():
        found = await kept.written(stream, generations[stream])
        ending = "completed" if death.written == ALL else None
        assert found == Written(text_of(death.written), ending), stream
        if durability == "sync":
            assert death.live <= death.written, stream


def check_ending(stream: str, death: Death, chunks: int, found: Reading) -> None:
    found.check_part(death.ending)
    assert found.chunks == chunks, (stream, found)
    assert found.whole is (chunks == ALL), (stream, found)


async def all_are_over(worker: Worker, deaths: dict[str, Death]) -> None:
    """Wait until the leases have run out."""
    looks = [{"do": "status", "stream": stream} for stream in deaths]
    deadline = time.monotonic() + 20
    while "active" in (found := await worker.ask_all(looks)):
        assert time.monotonic() < deadline, dict(zip(deaths, found, strict=True))
        await asyncio.sleep(0.1)
    for (stream, death), state in zip(deaths.items(), found, strict=True):
        assert (state == "not_found") is (death.kept is None), (stream, state)


async def all_are_resumed(worker: Worker, deaths: dict[str, Death]) -> None:
    """Resume all streams: they give what was written, and then their true ending."""
    joined = await worker.ask_all([resume(stream, SOURCE) for stream in deaths])
    for (stream, death), answer in zip(deaths.items(), joined, strict=True):
        if death.kept:
            assert answer["joined"] == "reading", (stream, answer)
            check_ending(stream, death, death.kept, await worker.read(stream))
        else:
            unknown = "NOT_FOUND" if death.kept is None else LOST
            assert answer["joined"] == unknown, (stream, answer)


async def all_are_started_once(worker: Worker, deaths: dict[str, Death]) -> None:
    """Start all streams again: the source of one that is remembered is not run."""
    sources = {stream: OTHER if one.kept is None else SOURCE for stream, one in deaths.items()}
    await all_answer(
        worker, [begin(stream, source) for stream, source in sources.items()], "reading"
    )
    for stream, death in deaths.items():
        found = await worker.read(stream)
        if death.kept is None:
            found.check_complete()
        else:
            check_ending(stream, death, death.kept, found)
        assert await worker.calls(stream) == (death.kept is None), stream


async def all_are_deleted(worker: Worker, deaths: dict[str, Death]) -> None:
    """Erase what is remembered: the ids are free."""
    streams = [stream for stream, death in deaths.items() if death.kept is not None]
    told = await worker.ask_all([{"do": "delete", "stream": stream} for stream in streams])
    assert told == ["deleted"] * len(streams)
    await all_answer(worker, [begin(stream, OTHER) for stream in streams], "reading")
    for stream in streams:
        (await worker.read(stream)).check_complete()
        assert await worker.calls(stream) == 1


async def all_answer(worker: Worker, commands: list[dict[str, Any]], joined: str) -> None:
    answers = await worker.ask_all(commands)
    assert [answer["joined"] for answer in answers] == [joined] * len(commands), answers


def hold(stream: str, death: Death) -> dict[str, Any]:
    return {"do": "hold", "stream": stream, "point": death.point}


def text_of(count: int) -> str:
    return "".join(islice(SOURCE.chunks(), count))
