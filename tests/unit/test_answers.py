"""How a producer answers the requests of its remote listeners, seen from the wire."""

from __future__ import annotations

import asyncio

import pytest

from resumable_stream import ResumableStream
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.wire import DataFrame, Refusal, RefusalFrame, RequestType
from resumable_stream_memory._backend import MAX_MESSAGE_SIZE
from support.virtual_time import in_virtual_time
from support.world import (
    ID,
    LEASE,
    Peer,
    begin,
    ends_of,
    rest,
    text_of,
    world,
)

PLENTY = 1_000_000


@pytest.mark.rule("REQ-1", "REQ-3")
@in_virtual_time
async def test_every_request_is_answered_again() -> None:
    async with world() as here:
        await begin(here, "ab", "cd")
        peer = await Peer(here).listen()
        for _ in range(3):
            await peer.ask(window=PLENTY)
            assert text_of(peer.frames()) == "abcd"


@pytest.mark.rule("REQ-3", "P7")
@in_virtual_time
async def test_a_window_bounds_the_answer() -> None:
    async with world() as here:
        await begin(here, *["x" * 100] * 1000)
        peer = await Peer(here).listen()
        await peer.ask(window=5_000)
        frames = peer.frames()
        assert 4_000 < len(text_of(frames)) <= 5_000
        assert [frame.last for frame in frames if isinstance(frame, DataFrame)][-1]
        assert {frame.end for frame in frames if isinstance(frame, DataFrame)} == {1000}


@pytest.mark.rule("REQ-3")
@in_virtual_time
async def test_an_offset_inside_a_chunk_is_answered_from_there() -> None:
    async with world() as here:
        await begin(here, "ab", "é😀cd")
        peer = await Peer(here).listen()
        await peer.ask(skip=5, window=PLENTY)
        (frame,) = peer.frames()
        assert isinstance(frame, DataFrame)
        assert (frame.place, frame.offset, frame.joined.parts()) == (Place(1, 6), 5, [b"cd"])


@pytest.mark.rule("REQ-3")
@in_virtual_time
async def test_an_empty_stream_is_acknowledged() -> None:
    async with world() as here:
        *_, generation = await begin(here)
        peer = await Peer(here).listen()
        await peer.ask(window=PLENTY)
        assert peer.frames() == [DataFrame(generation, Place(0), last=True, offset=0)]


@pytest.mark.rule("REQ-3")
@in_virtual_time
async def test_a_window_of_nothing_only_keeps_the_place() -> None:
    async with world() as here:
        source, stream, generation = await begin(here, "a")
        peer = await Peer(here).listen(generation)
        for _ in range(5):
            await peer.ask(place=Place(0), generation=generation)
            await asyncio.sleep(LEASE)
        assert peer.messages == []
        source.finish()
        assert await rest(stream) == ["a"]
        await peer.ask(place=Place(0), generation=generation)
        assert ends_of(peer.frames()) == ["completed"]


@pytest.mark.rule("REQ-4")
@in_virtual_time
async def test_an_offset_ahead_is_answered_from_the_end() -> None:
    async with world() as here:
        await begin(here, "a😀")
        peer = await Peer(here).listen()
        await peer.ask(skip=100, window=PLENTY)
        (frame,) = peer.frames()
        assert isinstance(frame, DataFrame)
        assert (frame.place, frame.offset) == (Place(1), 3)


@pytest.mark.rule("REQ-5")
@in_virtual_time
async def test_what_cannot_be_served_is_refused() -> None:
    async with world() as here:
        *_, generation = await begin(here, "a😀", "x" * 20, buffer_limit=20)
        peer = await Peer(here).listen()
        for fields, refusal, start in (
            ({"skip": 1}, Refusal.TRIMMED, 3),
            ({"place": Place(0)}, Refusal.TRIMMED, 3),
            ({"place": Place(9)}, Refusal.UNKNOWN_PLACE, 0),
            ({"generation": generation + 1}, Refusal.OTHER_GENERATION, 0),
        ):
            await peer.ask(window=PLENTY, **fields)
            assert peer.frames() == [RefusalFrame(generation, refusal, start)]


@pytest.mark.rule("REQ-5", "END-3")
@in_virtual_time
async def test_a_refusal_is_repeated_after_the_end() -> None:
    async with world() as here:
        source, _, generation = await begin(here, "a😀", "x" * 20, buffer_limit=20)
        peer = await Peer(here).listen()
        await peer.ask(window=PLENTY)
        refusal = RefusalFrame(generation, Refusal.TRIMMED, 3)
        assert peer.frames() == [refusal]
        source.finish()
        await asyncio.sleep(1)
        peer.messages.clear()
        await peer.ask(window=PLENTY)
        assert peer.frames() == [refusal]


@pytest.mark.rule("REQ-5")
@in_virtual_time
async def test_half_a_pair_is_refused() -> None:
    async with world() as here:
        *_, generation = await begin(here, "a😀")
        peer = await Peer(here).listen()
        await peer.ask(skip=2, window=PLENTY)
        assert peer.frames() == [RefusalFrame(generation, Refusal.INSIDE_PAIR)]


@pytest.mark.rule("REQ-7", "P9")
@in_virtual_time
async def test_a_cancel_is_acknowledged_only_once_the_end_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as here:
        _, _, generation = await begin(here, "a")
        other = await Peer(here, "other").listen(generation)
        await other.ask(window=1)
        recorded, write = asyncio.Event(), here.brokers[0].compare_and_set

        async def slowly(key: str, expected: str, value: str, *, ttl: int) -> bool:
            if value == "DONE":
                await recorded.wait()
            return await write(key, expected, value, ttl=ttl)

        monkeypatch.setattr(here.brokers[0], "compare_and_set", slowly)
        peer = await Peer(here).listen()
        await peer.ask(type=RequestType.CANCEL)
        await asyncio.sleep(LEASE)
        assert ends_of(peer.frames()) == []
        recorded.set()
        await asyncio.sleep(0.1)
        assert ends_of(peer.frames()) == ["cancelled"]


@pytest.mark.rule("REQ-7", "P9")
@in_virtual_time
async def test_a_cancel_is_acknowledged_each_time() -> None:
    async with world() as here:
        source, _, generation = await begin(here, "a")
        other = await Peer(here, "other").listen(generation)
        await other.ask(window=1)
        peer = await Peer(here).listen()
        for _ in range(2):
            await peer.ask(type=RequestType.CANCEL)
            assert ends_of(peer.frames()) == ["cancelled"]
        assert source.closed
        assert await here.sentinel() == "DONE"


@pytest.mark.rule("FRM-2", "P2")
@in_virtual_time
async def test_a_huge_chunk_travels_in_parts() -> None:
    async with world() as here:
        chunk = "é😀x" * 400_000
        await begin(here, "a", chunk, "b")
        context, _ = here.instance()
        stream = await context.resume_existing_stream(ID)
        assert isinstance(stream, ResumableStream)
        assert [await anext(stream) for _ in range(3)] == ["a", chunk, "b"]
        broker = here.brokers[0]
        assert max(len(message) for _, message in broker.published) <= MAX_MESSAGE_SIZE
