"""What a producer does for its remote listeners, seen from the wire."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resumable_stream._protocol.places import Place
from resumable_stream._protocol.sentinel import generation_of
from resumable_stream._protocol.wire import DataFrame, RequestType
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

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

PLENTY = 1_000_000


@pytest.mark.rule("REQ-2", "P1")
@in_virtual_time
async def test_text_after_the_enrolment_is_live() -> None:
    async with world() as here:
        source, _, generation = await begin(here, "a")
        peer = await Peer(here).listen(generation)
        await peer.ask(window=PLENTY)
        source.put("b", "c")
        await asyncio.sleep(0.01)
        assert text_of(peer.frames()) == "a"
        assert text_of(peer.live_frames(generation)) == "bc"


@pytest.mark.rule("REQ-2", "P8")
@in_virtual_time
async def test_nothing_is_published_while_nobody_listens() -> None:
    async with world() as here:
        source, _, generation = await begin(here, "a")
        _, broker = here.contexts[0], here.brokers[0]
        source.put("b")
        await asyncio.sleep(5 * LEASE)
        assert broker.published == []
        peer = await Peer(here).listen(generation)
        await peer.ask(window=PLENTY)
        await peer.ask(type=RequestType.LEAVE)
        peer.frames()
        source.put("c")
        await asyncio.sleep(5 * LEASE)
        assert peer.live == []


@pytest.mark.rule("REQ-2", "P10")
@in_virtual_time
async def test_a_listener_that_vanished_expires() -> None:
    async with world() as here:
        source, _, generation = await begin(here, "a")
        peer = await Peer(here).listen(generation)
        await peer.ask(window=PLENTY)
        await asyncio.sleep(2 * LEASE)
        peer.live.clear()
        source.put("b")
        await asyncio.sleep(LEASE)
        assert peer.live == []


@pytest.mark.rule("REQ-2", "P6")
@in_virtual_time
async def test_listeners_do_not_expire_in_an_outage() -> None:
    async with world() as here:
        source, _, generation = await begin(here, "a")
        peer = await Peer(here).listen(generation)
        await peer.ask(window=PLENTY)
        here.brokers[0].away = True
        await asyncio.sleep(3 * LEASE)
        here.brokers[0].reconnect()
        await asyncio.sleep(2)
        peer.live.clear()
        source.put("b")
        await asyncio.sleep(1)
        assert text_of(peer.live_frames(generation)) == "b"


@pytest.mark.rule("REQ-6", "END-3", "P10")
@in_virtual_time
async def test_the_producer_waits_for_listeners_to_leave() -> None:
    async with world() as here:
        source, stream, generation = await begin(here, "a", grace=0)
        peer = await Peer(here).listen(generation)
        await peer.ask(window=1)
        source.finish()
        assert await rest(stream) == ["a"]
        peer.messages.clear()
        await asyncio.sleep(LEASE / 2)
        await peer.ask(window=PLENTY, place=Place(0))
        frames = peer.frames()
        assert (text_of(frames), ends_of(frames)) == ("a", ["completed"])
        await peer.ask(type=RequestType.LEAVE)
        await peer.ask(window=PLENTY, place=Place(0))
        assert peer.messages == []


@pytest.mark.rule("END-3", "P7")
@in_virtual_time
async def test_a_listener_that_never_reads_is_given_up() -> None:
    async with world() as here:
        source, stream, generation = await begin(here, "a", linger_timeout=100, grace=0)
        peer = await Peer(here).listen(generation)
        await peer.ask(window=1)
        source.finish()
        assert await rest(stream) == ["a"]
        for turn in range(12):
            await peer.ask(window=0, place=Place(0), generation=generation)
            assert bool(peer.frames()) == (turn < 11), turn
            await asyncio.sleep(10)


@pytest.mark.rule("P8")
@in_virtual_time
async def test_a_source_in_a_hurry_is_sent_in_few_messages() -> None:
    async def source() -> AsyncIterator[str]:
        await asyncio.sleep(1.0)
        for _ in range(200):
            await asyncio.sleep(0.0001)
            yield "a"

    async with world() as here:
        context, broker = here.instance()
        publish_many = broker.publish_many

        async def takes_its_time(messages: Sequence[tuple[str, bytes]]) -> None:
            await asyncio.sleep(0.0002)
            await publish_many(messages)

        broker.publish_many = takes_its_time  # type: ignore[method-assign]
        stream = await context.create_new_resumable_stream(ID, source)
        generation = generation_of(await here.sentinel() or "")
        peer = await Peer(here).listen(generation)
        await peer.ask(window=PLENTY)
        assert await rest(stream) == ["a"] * 200
        await asyncio.sleep(0.01)
        frames = peer.live_frames(generation)
        assert text_of(frames) == "a" * 200
        assert 15 <= len([frame for frame in frames if isinstance(frame, DataFrame)]) <= 25


@pytest.mark.rule("END-3", "P3")
@in_virtual_time
async def test_a_listener_that_reads_slowly_is_not_given_up() -> None:
    async with world() as here:
        source, stream, generation = await begin(here, *"a" * 30, linger_timeout=100)
        peer = await Peer(here).listen(generation)
        await peer.ask(window=1)
        source.finish()
        assert await rest(stream) == ["a"] * 30
        for turn in range(30):
            await peer.ask(window=0, place=Place(turn), generation=generation)
            assert peer.frames(), turn
            await asyncio.sleep(10)


@pytest.mark.rule("FRM-4", "P6")
@in_virtual_time
async def test_what_comes_during_a_publish_shares_a_frame() -> None:
    async with world() as here:
        source, stream, generation = await begin(here)
        peer = await Peer(here).listen(generation)
        await peer.ask(window=PLENTY)
        source.put(*map(str, range(200)))
        await asyncio.sleep(0.1)
        frames = peer.live_frames(generation)
        assert text_of(frames) == "".join(map(str, range(200)))
        assert len(frames) < 100
        assert await anext(stream) == "0"


@pytest.mark.rule("FRM-5")
@in_virtual_time
async def test_heartbeats_tell_how_far_the_stream_is() -> None:
    async with world() as here:
        _, _, generation = await begin(here, "a", "b")
        peer = await Peer(here).listen(generation)
        await peer.ask(window=PLENTY)
        await asyncio.sleep(LEASE / 5 + 0.1)
        assert peer.live_frames(generation) == [DataFrame(generation, Place(2), end=2)]


@pytest.mark.rule("FRM-5")
@in_virtual_time
async def test_a_heartbeat_that_is_due_while_an_answer_is_sent_follows_at_once() -> None:
    async with world() as here:
        _, _, generation = await begin(here, "a")
        peer = await Peer(here).listen(generation)
        await peer.ask(window=PLENTY)
        await asyncio.sleep(LEASE / 5 - 0.2)
        here.brokers[0].running.clear()
        await peer.ask(window=PLENTY)
        await asyncio.sleep(0.4)
        assert peer.live_frames(generation) == []
        here.brokers[0].running.set()
        await asyncio.sleep(0.1)
        assert peer.live_frames(generation) == [DataFrame(generation, Place(1), end=1)]


@pytest.mark.rule("END-1", "P3")
@in_virtual_time
async def test_the_end_is_told_only_once_it_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as here:
        source, _, generation = await begin(here, "a")
        peer = await Peer(here).listen(generation)
        await peer.ask(window=PLENTY)
        recorded, write = asyncio.Event(), here.brokers[0].compare_and_set

        async def slowly(key: str, expected: str, value: str, *, ttl: int) -> bool:
            if value == "DONE":
                await recorded.wait()
            return await write(key, expected, value, ttl=ttl)

        monkeypatch.setattr(here.brokers[0], "compare_and_set", slowly)
        source.finish()
        await asyncio.sleep(LEASE)
        assert ends_of(peer.frames() + peer.live_frames(generation)) == []
        recorded.set()
        await asyncio.sleep(0.1)
        assert ends_of(peer.live_frames(generation)) == ["completed"]


@pytest.mark.rule("FRM-5", "P3")
@in_virtual_time
async def test_the_end_is_told_again_with_each_heartbeat() -> None:
    async with world() as here:
        source, _, generation = await begin(here, "a")
        peer = await Peer(here).listen(generation)
        await peer.ask(window=PLENTY)
        source.finish()
        await asyncio.sleep(LEASE)
        ends = ends_of(peer.live_frames(generation))
        assert len(ends) >= 4
        assert set(ends) == {"completed"}
