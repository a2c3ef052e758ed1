"""Texts that are hard to carry: astral characters, huge and tiny chunks, markers, half pairs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from processes.texts import Source
from processes.workers import Reading, resume
from support.brokers import MOSTLY_ON_REDIS

if TYPE_CHECKING:
    from processes.workers import Crew
    from support.brokers import Broker

pytestmark = MOSTLY_ON_REDIS

HARD = [
    Source(kind="big", count=1),
    Source(kind="tiny", count=100_000),
    Source(kind="markers", count=20),
    Source(kind="surrogates", count=20),
    Source(kind="emoji", count=200),
    Source(kind="separators", count=500),
    Source(kind="empty", count=100_000),
]


@pytest.mark.parametrize("text", HARD, ids=lambda source: str(source.kind))
async def test_hard_text_is_carried_exactly(
    broker: Broker, crew: Crew, stream: str, text: Source
) -> None:
    producing, reading = [await crew.worker(broker.url) for _ in range(2)]
    whole = sum(1 for _ in text.chunks())
    # Half of the text is replayed, half comes live; the end waits until all readers are there.
    source = Source(kind=text.kind, count=text.count, gated_from=whole // 2)
    middle, end = source.units(whole // 2), source.units()
    await producing.begin(stream, source)
    assert await reading.resume(stream, source, reader="start") == "reading"
    assert await reading.resume(stream, source, reader="middle", skip=middle) == "reading"
    await producing.release(stream, whole - whole // 2)
    (await reading.read("start", limit=whole)).check_part(None)
    assert await reading.resume(stream, source, reader="late") == "reading"
    assert await reading.resume(stream, source, reader="end", skip=end) == "reading"
    await producing.release(stream)
    readings = [reading.read(reader) for reader in ("start", "middle", "late", "end")]
    for found in await asyncio.gather(producing.read(stream), *readings):
        found.check_complete()
        assert found.units == end


async def test_emoji_are_cut_at_no_offset(broker: Broker, crew: Crew, stream: str) -> None:
    producing, reading = [await crew.worker(broker.url) for _ in range(2)]
    source = Source(kind="words", seed=5, count=25, gated_from=20)
    text = "".join(source.chunks())
    starts = {len(text[:index].encode("utf-16-le")) // 2 for index in range(len(text) + 1)}
    offsets = range(source.units() + 1)
    assert len(starts) < len(offsets)
    now = source.units(20)
    await producing.begin(stream, source)
    for worker in (producing, reading):
        joined = await worker.ask_all(
            [resume(stream, source, str(offset), skip=offset) for offset in offsets]
        )
        for offset, answer in zip(offsets, joined, strict=True):
            if offset <= now:
                expected = "reading" if offset in starts else "InvalidOffsetError"
                assert answer["joined"] == expected, offset
    await producing.release(stream)
    for worker in (producing, reading):
        readable = [offset for offset in offsets if offset in starts or offset > now]
        reads = [{"do": "read", "reader": str(offset)} for offset in readable]
        for offset, answer in zip(readable, await worker.ask_all(reads), strict=True):
            if offset in starts:
                Reading(**answer).check_complete()
            else:
                assert answer["ending"] == "InvalidOffsetError"
                assert answer["chunks"] == 0


async def test_event_ids_continue_between_processes(
    broker: Broker, crew: Crew, stream: str
) -> None:
    producing, reading, other = [await crew.worker(broker.url) for _ in range(3)]
    source = Source(count=60, gated_from=50)
    await producing.begin(stream, source)
    assert await reading.resume(stream, source) == "reading"
    for steps in (1, 7, 30):
        found = await reading.read(stream, limit=steps)
        for worker in (producing, other):
            after = (found.chunks, found.last_event_id)
            reader = f"after {found.chunks}"
            assert await worker.resume(stream, source, reader=reader, after=after) == "reading"
    await producing.release(stream)
    for reader in ("after 1", "after 8", "after 38"):
        for worker in (producing, other):
            found = await worker.read(reader)
            found.check_complete()
            assert found.offset == source.units()
