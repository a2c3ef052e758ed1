"""What has come for a remote reader and is not read yet."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from resumable_stream import InvalidOffsetError, OffsetUnit, ProducerLostError
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.wire import DataFrame
from resumable_stream._reading.unread import CHUNK_COST, Unread
from resumable_stream._text.joined import join
from resumable_stream._text.offsets import length

WINDOW = 4096


def unread() -> Unread:
    return Unread(WINDOW, OffsetUnit.UTF16)


def taken(some: Unread) -> list[str] | None:
    run = some.take()
    return None if run is None else run[0]


@pytest.mark.rule("P2")
def test_runs_are_read_in_the_order_in_which_they_came() -> None:
    some = unread()
    some.put(["a", "b"])
    some.put([])
    some.put(["c"])
    assert (list(some), some.count) == (["a", "b", "c"], 3)
    assert taken(some) == ["a", "b"]
    assert (list(some), some.count) == (["c"], 1)
    assert taken(some) == ["c"]
    assert taken(some) is None
    assert (list(some), some.count) == ([], 0)


@pytest.mark.rule("P7")
def test_a_chunk_counts_until_its_run_is_given_back() -> None:
    some = unread()
    some.put(["abc", ""])
    assert some.room == WINDOW - 3 - 2 * CHUNK_COST
    some.take()
    assert some.room == WINDOW - 3 - 2 * CHUNK_COST
    some.give_back()
    assert some.room == WINDOW
    some.give_back()
    assert some.room == WINDOW


@pytest.mark.rule("P7")
def test_a_long_run_is_given_back_piece_by_piece() -> None:
    some = unread()
    chunks = [str(number) for number in range(600)]
    some.put(chunks)
    assert some.room < 0
    runs = [taken(some) or [] for _ in range(3)]
    assert [len(run) for run in runs] == [256, 256, 88]
    assert [chunk for run in runs for chunk in run] == chunks
    assert taken(some) is None


LONG = {
    "ascii": [f"{number}" for number in range(600)],
    "rockets": ["\N{ROCKET}" * (number % 3) for number in range(600)],
    "empty": [""] * 600,
    "all separators": [f"\x1c\x1d\x1e\x1f{number}" for number in range(600)],
}


@pytest.mark.rule("P2", "P7")
@pytest.mark.parametrize("unit", OffsetUnit)
@pytest.mark.parametrize("chunks", LONG.values(), ids=LONG)
def test_a_frame_of_many_chunks_waits_as_it_came(chunks: list[str], unit: OffsetUnit) -> None:
    some = Unread(WINDOW, unit)
    frame = DataFrame(1, Place(0), join(chunks))
    some.put(["before"])
    room = some.room
    some.put(frame)
    some.put(["after"])
    assert frame._texts is None, "it was divided"
    cost = len(frame.joined.data) + len(frame.joined.lengths)
    assert some.room == room - cost - len("after") - CHUNK_COST
    assert (list(some), some.count) == (["before", *chunks, "after"], 602)
    read: list[str] = []
    while (run := some.take()) is not None:
        read += run[0]
        assert len(run[0]) <= 256
        assert run[1] in {None, length("".join(run[0]), unit)}
        assert some.count == 602 - len(read)
        some.give_back()
    assert read == ["before", *chunks, "after"]
    assert some.room == WINDOW


@pytest.mark.rule("LSN-2", "P7")
def test_a_divided_frame_is_given_back_run_by_run() -> None:
    some = unread()
    some.put(DataFrame(1, Place(0), join(["12345"] * 600)))
    room = [some.room]
    while some.take():
        some.give_back()
        room.append(some.room)
    assert [after - before for before, after in pairwise(room)] == [256 * 6, 256 * 6, 88 * 6 - 1]


@pytest.mark.rule("LSN-2")
def test_the_moment_is_told_at_which_half_of_the_window_is_free() -> None:
    some = unread()
    eighth = ["x" * (WINDOW // 8 - CHUNK_COST)]
    for _ in range(8):
        some.put(eighth)
    told = []
    while some.take():
        told.append(some.give_back())
    assert [at for at, free in enumerate(told, 1) if free] == [4]
    some.put(eighth)
    some.take()
    assert not some.give_back(), "half was free before"


def test_what_lies_before_the_offset_is_left_out() -> None:
    some = unread()
    some.leave_out(4)
    some.put(["ab"])
    some.put(["c"])
    assert some.count == 0
    assert some.room == WINDOW
    some.put(["def", "g"])
    assert list(some) == ["ef", "g"]
    some.put(["h"])
    assert list(some) == ["ef", "g", "h"]


def test_nothing_is_left_out_inside_a_surrogate_pair() -> None:
    some = unread()
    some.leave_out(1)
    with pytest.raises(InvalidOffsetError):
        some.put(["\N{GRINNING FACE}"])


async def arrived(some: Unread) -> None:
    await some.arrival()


async def test_everybody_who_waits_is_woken_by_what_comes() -> None:
    some = unread()
    waiting = [asyncio.create_task(arrived(some)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.wait({waiting[1]})
    some.put([])
    await asyncio.sleep(0)
    assert not waiting[0].done()
    some.put(["a"])
    some.put(["b"])
    await asyncio.gather(waiting[0], waiting[2])
    assert not some._waiters


@pytest.mark.rule("P7", "P10")
async def test_those_who_stop_waiting_leave_nothing_behind() -> None:
    some = unread()
    patient = asyncio.create_task(arrived(some))
    for _ in range(100):
        impatient = asyncio.create_task(arrived(some))
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.wait({impatient})
    assert len(some._waiters) <= 2
    some.put(["a"])
    await patient


@pytest.mark.rule("END-1")
@pytest.mark.parametrize("error", [None, ProducerLostError("s", 1)])
async def test_the_end_is_told_to_all_who_wait_and_to_all_who_come(
    error: ProducerLostError | None,
) -> None:
    some = unread()
    waiting = asyncio.create_task(arrived(some))
    await asyncio.sleep(0)
    some.end(error)
    some.end(ProducerLostError("s", 2))
    await waiting
    assert some.over
    for _ in range(2):
        with pytest.raises((StopAsyncIteration, ProducerLostError)) as caught:
            await some.arrival()
        assert caught.value is error or (error is None and caught.type is StopAsyncIteration)


@pytest.mark.rule("END-1")
def test_what_came_before_the_end_is_read_and_nothing_else() -> None:
    some = unread()
    some.put(["a"])
    some.end(None)
    some.put(["too late"])
    assert taken(some) == ["a"]
    assert taken(some) is None


def test_what_is_dropped_is_read_by_nobody() -> None:
    some = unread()
    some.put(["a"])
    some.clear()
    assert taken(some) is None
    assert (list(some), some.count) == ([], 0)
