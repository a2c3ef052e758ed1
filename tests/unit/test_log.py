from __future__ import annotations

import asyncio
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable_stream._text.endings import Ending, Status
from resumable_stream._text.log import InsidePairError, Log, Position, TrimmedError
from resumable_stream._text.offsets import OffsetUnit, length
from resumable_stream._text.utf8 import encode_text
from support.hostile import AWKWARD
from support.virtual_time import in_virtual_time

UTF16, POINTS = OffsetUnit.UTF16, OffsetUnit.CODE_POINTS
PLENTY = 1_000_000


def log_of(*chunks: str, limit: int = PLENTY) -> Log:
    log = Log(limit)
    for chunk in chunks:
        log.append(chunk)
    return log


def rest_of(log: Log, position: Position) -> str:
    text = "".join(log.chunk(sequence) for sequence in range(position.sequence, log.end))
    return text[position.index :]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))), st.sampled_from(OffsetUnit))
def test_every_offset_is_located(chunks: list[str], unit: OffsetUnit) -> None:
    log, text = log_of(*chunks), "".join(chunks)
    for cut in range(len(text) + 1):
        offset = length(text[:cut], unit)
        position = log.locate(offset, unit)
        assert position is not None
        assert rest_of(log, position) == text[cut:]
        assert log.offset(position, unit) == offset
    assert log.locate(length(text, unit) + 1, unit) is None


def test_inside_of_a_pair_is_an_error() -> None:
    log = log_of("ab", "c😀d")
    with pytest.raises(InsidePairError):
        log.locate(4, UTF16)
    assert log.locate(4, POINTS) == Position(1, 2)


def test_leading_empty_chunks_belong_to_offset_zero() -> None:
    log = log_of("", "", "a", "", "b")
    assert log.locate(0, UTF16) == Position(0)
    assert log.locate(1, UTF16) == Position(4)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=60), st.integers(1, 60))
def test_trimming_keeps_the_limit_and_the_offsets(chunks: list[str], limit: int) -> None:
    log, text = log_of(*chunks, limit=limit), "".join(chunks)
    start = log.start_offset(UTF16)
    kept = "".join(log.chunk(sequence) for sequence in range(log.first, log.end))
    assert text.endswith(kept)
    assert length(text, UTF16) - length(kept, UTF16) == start
    largest = max(length(chunk, UTF16) for chunk in chunks)
    assert length(kept, UTF16) >= min(limit - largest, length(text, UTF16))
    assert length(kept, UTF16) <= limit + limit // 8 + largest
    if start:
        with pytest.raises(TrimmedError) as caught:
            log.locate(start - 1, UTF16)
        assert caught.value.start == start


def test_a_long_log_is_trimmed_without_losing_count() -> None:
    log = Log(100)
    for number in range(10_000):
        log.append(f"{number:05}😀"[: 6 if number > 5_000 else 5])
    assert log.end == 10_000
    assert log.chunk(9_999) == "09999😀"
    text_before = 5 * 10_000 + 2 * 4_999
    assert log.end_offset(UTF16) == text_before
    assert log.end_offset(POINTS) == text_before - 4_999
    assert log.end_offset(UTF16) - log.start_offset(UTF16) <= 112
    assert sum(len(block.joined.data) for block in log._blocks) <= 160


@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=9), max_size=60))
def test_sealed_and_new_chunks_read_alike(chunks: list[str]) -> None:
    log = log_of(*chunks, limit=8 * 40)
    sequence, got = log.first, list[str]()
    while sequence < log.end:
        block, texts = log.block(sequence), log.texts(sequence)
        assert block.joined.parts()[sequence - block.first :] == list(map(encode_text, texts))
        got += texts
        sequence += len(texts)
    assert got == chunks[log.first :] == [log.chunk(n) for n in range(log.first, log.end)]


@pytest.mark.rule("P7")
@pytest.mark.parametrize(("size", "factor"), [(4, 1.75), (40, 1.25)])
def test_short_chunks_take_little_more_than_their_text(size: int, factor: float) -> None:
    log, count = log_of(limit=10**9), 50_000
    tracemalloc.start()
    for number in range(count):
        log.append(f"{number:040}"[-size:])
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < factor * size * count


@given(st.lists(AWKWARD, max_size=60), st.sampled_from(OffsetUnit))
def test_awkward_text_is_found_by_offset_and_by_number(chunks: list[str], unit: OffsetUnit) -> None:
    log = log_of(*chunks, limit=8 * 100)
    kept, offset = chunks[log.first :], log.start_offset(unit)
    assert log.end_offset(unit) == sum(length(chunk, unit) for chunk in chunks)
    for sequence, chunk in enumerate(kept, log.first):
        assert log.chunk(sequence) == chunk
        texts = log.texts(sequence)
        assert [chunk, *texts[1:]] == texts == chunks[sequence:][: len(texts)]
        assert log.offset(Position(sequence), unit) == offset
        offset += length(chunk, unit)


@in_virtual_time
async def test_a_burst_of_chunks_wakes_a_reader_twice() -> None:
    log, seen = log_of(), list[int]()

    async def read() -> None:
        while log.ending is None:
            await log.changed()
            seen.append(log.end)

    reader = asyncio.create_task(read())
    for _ in range(50):
        await asyncio.sleep(0)
        log.append("x")
    await asyncio.sleep(1)
    log.append("x")
    log.append("x")
    log.finish(Ending(Status.COMPLETED))
    await reader
    assert seen == [1, 50, 52]


def test_only_the_first_end_counts() -> None:
    log = log_of("a")
    assert log.finish(Ending(Status.CANCELLED))
    assert not log.finish(Ending(Status.COMPLETED))
    assert log.ending == Ending(Status.CANCELLED)


async def test_waiters_wake_at_a_chunk_and_at_the_end() -> None:
    log = log_of()
    for change in (lambda: log.append("a"), lambda: log.finish(Ending(Status.COMPLETED))):
        waiting = [asyncio.create_task(log.changed()) for _ in range(3)]
        await asyncio.sleep(0)
        change()
        await asyncio.gather(*waiting)


async def test_a_cancelled_waiter_leaves_nothing_behind() -> None:
    log = log_of()
    waiting = asyncio.create_task(log.changed())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert not log._waiters
