"""Text that outlives every process that had to do with it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest

from processes.stores import STORES, Written, store
from processes.texts import Source, utf16
from processes.workers import Reading, begin, resume, state_reached

if TYPE_CHECKING:
    from pathlib import Path

    from processes.workers import Crew

LEASE = 1.5
STREAMS = 6

LONG = pytest.mark.long


@pytest.mark.rule("P1", "P2", "P3", "P12")
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("kind", "durability"),
    [
        ("redis", "exit"),
        ("nats", "exit"),
        ("redis and sqlite", "async"),
        *(pytest.param(kind, "sync", marks=LONG) for kind in STORES),
        pytest.param("nats and sqlite", "exit", marks=LONG),
    ],
)
async def test_finished_streams_are_read_after_all_processes_were_restarted(
    kind: str, durability: str, crew: Crew, stream: str, tmp_path: Path
) -> None:
    whole = Source(count=120)
    failing, endless = replace(whole, fail_at=60), replace(whole, gated_from=60)
    sources = {f"whole {stream}": whole, f"failing {stream}": failing, f"stopped {stream}": endless}
    endings = ("completed", "StreamFailedError", "StreamCancelledError")
    async with store(kind, tmp_path) as kept:
        producing = await kept.worker(crew, durability=durability, lease=LEASE)
        await producing.ask_all([begin(name, source) for name, source in sources.items()])
        await producing.read(f"stopped {stream}", limit=60)
        assert await producing.ask("cancel", stream=f"stopped {stream}") == "cancelled"
        for name, state in zip(sources, ("completed", "failed", "cancelled"), strict=True):
            await state_reached(producing, name, state)
        await producing.end()
        places: dict[str, tuple[int, str]] = {}
        for _ in range(2):
            new = await kept.worker(crew, durability=durability, lease=LEASE)
            for (name, source), ending in zip(sources.items(), endings, strict=True):
                for more in ({}, {"skip": whole.units(20)}, {"after": places.get(name)}):
                    assert await new.resume(name, source, **more) == "reading", name
                    found = await new.read(name)
                    found.check_part(ending)
                    assert found.units == whole.units(120 if name.startswith("whole") else 60)
                assert await new.begin(name, source) == "reading"
                beginning = await new.read(name, limit=30)
                assert beginning.last_event_id is not None
                places[name] = (30, beginning.last_event_id)
                assert await new.calls(name) == 0
            await new.end()


@pytest.mark.rule("P1", "P12")
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("kind", "seed"),
    [
        ("redis", 0),
        *(pytest.param(kind, seed, marks=LONG) for kind in STORES for seed in range(1, 6)),
    ],
)
async def test_no_reader_of_a_sync_stream_has_more_than_the_journal(
    kind: str, seed: int, crew: Crew, stream: str, tmp_path: Path
) -> None:
    random = Random(seed)
    sources = {
        f"{number} {stream}": Source(seed=number, count=20_000, pause=random.uniform(0, 0.01))
        for number in range(STREAMS)
    }
    async with store(kind, tmp_path) as kept:
        producing = await kept.worker(crew, durability="sync", lease=LEASE)
        attached = await kept.worker(crew, lease=LEASE)
        await producing.ask_all([begin(name, source) for name, source in sources.items()])
        await attached.ask_all([resume(name, source) for name, source in sources.items()])
        reading = asyncio.create_task(
            attached.ask_all([{"do": "read", "reader": name} for name in sources])
        )
        looked_at, enough = random.choice(list(sources)), random.randrange(1, 200)
        while await attached.ask("progress", reader=looked_at) < enough:
            pass  # at any moment, and so without a pause
        generations = {name: kept.generation(name) for name in sources}
        await producing.kill()
        written = {name: await kept.written(name, generations[name]) for name in sources}
        for (name, source), answer in zip(sources.items(), await reading, strict=True):
            found = Reading(**answer)
            found.check_part("ProducerLostError")
            # It got what the journal has, and had nothing else before.
            text = "".join(source.chunks())
            assert written[name] == Written(text[: len(written[name].text)], None)
            assert found.units == utf16(written[name].text), name
        await crew.close()
