"""A stream that is over is still served for ``grace_period`` to readers that name a place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from resumable_stream import (
    ContextClosedError,
    InvalidEventIdError,
    ResumableStream,
    StreamCancelledError,
    StreamFailedError,
)
from resumable_stream._producing import kept
from resumable_stream._protocol.sentinel import Outcome
from resumable_stream._protocol.wire import V1_END
from support.virtual_time import in_virtual_time, loop_time
from support.world import ID, LEASE, NAMES, OUTCOME, SENTINEL, Peer, Source, begin, rest, world

if TYPE_CHECKING:
    from resumable_stream import ResumableStreamContext
    from support.world import World

GRACE = 30.0


async def ended(here: World, *chunks: str, **options: Any) -> tuple[ResumableStreamContext, str]:
    """Produce a stream to its end; return its context, and the event id after the first chunk."""
    context, _ = here.instance(**options)
    source = Source(*chunks)
    source.finish()
    stream = await context.create_new_resumable_stream(ID, source)
    await stream.aclose()
    await asyncio.sleep(1)
    assert await here.sentinel() == "DONE"
    outcome = Outcome.decode(await here.raw.get(OUTCOME))
    assert outcome is not None
    return context, f"{outcome.generation}-1"


@pytest.mark.rule("P1", "END-5", "END-6")
@pytest.mark.parametrize("where", ["beside the producer", "elsewhere"])
@in_virtual_time
async def test_a_reader_cut_in_the_last_second_gets_the_rest(where: str) -> None:
    async with world() as here:
        context, event_id = await ended(here, "a", "bc", "d")
        if where == "elsewhere":
            context, _ = here.instance()
        for place, text in (
            ({"last_event_id": event_id}, ["bc", "d"]),
            ({"skip_characters": 2}, ["c", "d"]),
            ({"skip_characters": 0}, ["a", "bc", "d"]),
            ({"skip_characters": 4}, []),
        ):
            started: Any = await context.resumable_stream(ID, Source(), **place)
            assert await rest(started) == text
            resumed: Any = await context.resume_existing_stream(ID, **place)
            assert await rest(resumed) == text


@pytest.mark.rule("END-5", "END-6")
@pytest.mark.parametrize("where", ["beside the producer", "elsewhere"])
@in_virtual_time
async def test_who_names_no_place_is_told_that_it_is_over(where: str) -> None:
    async with world() as here:
        context, _ = await ended(here, "a", "b")
        if where == "elsewhere":
            context, _ = here.instance()
        assert await context.resumable_stream(ID, Source()) is None
        assert await context.resume_existing_stream(ID) is None
        assert await context.has_existing_stream(ID) == "DONE"


@pytest.mark.rule("P3", "END-6")
@pytest.mark.parametrize("where", ["beside the producer", "elsewhere"])
@pytest.mark.parametrize("ending", ["failed", "cancelled"])
@in_virtual_time
async def test_the_ending_comes_after_the_text_that_was_missed(where: str, ending: str) -> None:
    async with world() as here:
        context, _ = here.instance()
        source = Source("a", "b")
        await context.create_new_resumable_stream(ID, source)
        await asyncio.sleep(0.1)
        if ending == "failed":
            source.finish(LookupError("no such model"))
        else:
            await context.cancel_stream(ID)
        await asyncio.sleep(1)
        if where == "elsewhere":
            context, _ = here.instance()
        error = StreamFailedError if ending == "failed" else StreamCancelledError
        stream = await context.resume_existing_stream(ID, 1)
        assert isinstance(stream, ResumableStream)
        assert await anext(stream) == "b"
        with pytest.raises(error):
            await anext(stream)
        with pytest.raises(error):
            await context.resume_existing_stream(ID)


@pytest.mark.rule("END-6", "P10")
@pytest.mark.parametrize("where", ["beside the producer", "elsewhere"])
@in_virtual_time
async def test_after_its_grace_a_stream_is_gone(where: str) -> None:
    async with world() as here:
        context, event_id = await ended(here, "a", "b")
        broker = here.brokers[0]
        await asyncio.sleep(GRACE)
        assert not broker._subscriptions
        if where == "elsewhere":
            context, _ = here.instance()
        began = loop_time()
        assert await context.resume_existing_stream(ID, last_event_id=event_id) is None
        assert await context.resume_existing_stream(ID, 1) is None
        assert loop_time() - began < 6


@pytest.mark.rule("END-6", "P10")
@in_virtual_time
async def test_a_stream_is_not_served_for_longer_than_its_end_is_remembered() -> None:
    async with world() as here:
        await ended(here, "a", done_ttl=LEASE)
        assert here.brokers[0]._subscriptions
        await asyncio.sleep(LEASE)
        assert not here.brokers[0]._subscriptions


@pytest.mark.rule("END-6", "LSN-1")
@in_virtual_time
async def test_a_question_after_the_end_that_is_lost_is_asked_again() -> None:
    async with world() as here:
        await ended(here, "a", "b")
        context, broker = here.instance()
        lost: list[str] = []

        def drop(channel: str, _message: bytes) -> bool:
            if channel != NAMES.request(ID) or len(lost) == 5:
                return False
            lost.append(channel)
            return True

        broker.drop = drop
        began = loop_time()
        assert await rest(await context.resume_existing_stream(ID, 1)) == ["b"]
        assert loop_time() - began > 0.5


@pytest.mark.rule("END-6", "P8")
@in_virtual_time
async def test_long_after_its_grace_nobody_is_asked() -> None:
    async with world() as here:
        await ended(here, "a", "b")
        context, broker = here.instance()
        with mock.patch("resumable_stream._protocol.sentinel.wall_clock", return_value=1e12):
            began = loop_time()
            assert await context.resume_existing_stream(ID, 1) is None
        assert loop_time() == began
        assert not broker.published


@pytest.mark.rule("END-6")
@in_virtual_time
async def test_a_grace_of_nothing_serves_nobody() -> None:
    async with world() as here:
        context, event_id = await ended(here, "a", "b", grace=0)
        other, broker = here.instance(grace=0)
        for one in (context, other):
            assert await one.resume_existing_stream(ID, 1) is None
            assert await one.resume_existing_stream(ID, last_event_id=event_id) is None
        assert not broker.published
        assert not here.brokers[0]._subscriptions


@pytest.mark.rule("END-6", "P10")
@in_virtual_time
async def test_the_grace_delays_neither_a_close_nor_the_background_work() -> None:
    async with world() as here:
        work: list[Any] = []
        context, broker = here.instance(wait_until=work.append)
        source = Source("a")
        await context.create_new_resumable_stream(ID, source)
        source.finish()
        began = loop_time()
        await work[0]
        assert loop_time() - began < 1
        assert broker._subscriptions, "it is still served"
        await context.aclose()
        assert loop_time() - began < 1
        assert not broker._subscriptions
        loop: Any = asyncio.get_running_loop()
        assert not [timer for timer in loop._scheduled if not timer.cancelled()]


@pytest.mark.rule("END-6")
@in_virtual_time
async def test_a_reader_whose_producer_was_closed_within_the_grace_is_told_in_time() -> None:
    async with world() as here:
        context, event_id = await ended(here, "a", "b")
        await context.aclose()
        other, _ = here.instance()
        began = loop_time()
        assert await other.resume_existing_stream(ID, last_event_id=event_id) is None
        assert loop_time() - began < 4


@pytest.mark.rule("END-6", "P10")
@in_virtual_time
async def test_a_reader_does_not_attach_to_what_its_context_served_before_it_was_closed() -> None:
    async with world() as here:
        context, event_id = await ended(here, "a", "b")
        here.brokers[0].running.clear()
        resuming = asyncio.create_task(context.resume_existing_stream(ID, last_event_id=event_id))
        await asyncio.sleep(0.1)
        closing = asyncio.create_task(context.aclose(0))
        await asyncio.sleep(1)
        here.brokers[0].running.set()
        with pytest.raises(ContextClosedError):
            await resuming
        await closing


@pytest.mark.rule("END-6", "P7")
@in_virtual_time
async def test_the_oldest_give_way_where_there_is_no_room() -> None:
    size = 100_000
    with mock.patch.object(kept, "_MOST_BYTES", 3 * (size + 20_000)):
        async with world() as here:
            context, broker = here.instance()
            for number in range(5):
                source = Source("a" * size)
                source.finish()
                await context.create_new_resumable_stream(f"{number}", source)
                await context.wait_for_end(f"{number}")
            await asyncio.sleep(1)
            found = [await context.resume_existing_stream(f"{n}", size - 1) for n in range(5)]
            assert [bool(stream) for stream in found] == [False, False, True, True, True]
            assert len(broker._subscriptions) == 3
            too_large = Source("a" * size * 4)
            too_large.finish()
            await context.create_new_resumable_stream("large", too_large)
            await context.wait_for_end("large")
            assert await context.resume_existing_stream("large", 1) is None
            assert await context.resume_existing_stream("4", 1), "nor does it push others out"


@pytest.mark.rule("END-6", "P7")
@in_virtual_time
async def test_a_reader_that_was_served_when_the_grace_ended_gets_all() -> None:
    chunks = [f"{number:05} " + "x" * 100 for number in range(1000)]
    async with world() as here:
        await ended(here, *chunks)
        other, _ = here.instance(window=4096)
        stream = await other.resume_existing_stream(ID, 0)
        assert isinstance(stream, ResumableStream)
        read = [await anext(stream) for _ in range(10)]
        await asyncio.sleep(GRACE + 5)
        assert read + await rest(stream) == chunks


@pytest.mark.rule("END-6")
@in_virtual_time
async def test_a_place_that_is_no_longer_buffered_is_over() -> None:
    async with world() as here:
        chunks = [f"{number:09} " for number in range(100)]
        context, event_id = await ended(here, *chunks, buffer_limit=100)
        other, _ = here.instance()
        for one in (context, other):
            assert await one.resume_existing_stream(ID, 1) is None
            assert await one.resume_existing_stream(ID, last_event_id=event_id) is None
            assert await rest(await one.resume_existing_stream(ID, 990)) == chunks[-1:]


@pytest.mark.rule("END-6")
@in_virtual_time
async def test_a_place_beyond_the_end_was_never_given_out() -> None:
    async with world() as here:
        context, event_id = await ended(here, "a", "b")
        other, _ = here.instance()
        beyond = event_id.partition("-")[0] + "-77"
        for one in (context, other):
            with pytest.raises(InvalidEventIdError):
                await one.resume_existing_stream(ID, last_event_id=beyond)
            assert await rest(await one.resume_existing_stream(ID, 1000)) == []
            assert await one.resume_existing_stream(ID, last_event_id="77-1") is None


@pytest.mark.rule("END-6", "P5")
@in_virtual_time
async def test_a_superseded_producer_serves_nobody() -> None:
    async with world() as here:
        context, _ = here.instance()
        source = Source("old")
        await context.create_new_resumable_stream(ID, source)
        await here.raw.set(SENTINEL, str(1 << 20), ttl=60)
        source.finish()
        await asyncio.sleep(1)
        assert not here.brokers[0]._subscriptions


@pytest.mark.rule("END-6", "P11")
@in_virtual_time
async def test_a_typescript_listener_that_asks_in_the_grace_is_answered_and_ended() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a", "b")
        source.finish()
        await asyncio.sleep(1)
        peer = await Peer(here).listen()
        await peer.ask(version=1, skip=1)
        assert peer.texts() == ["b", V1_END]


@pytest.mark.rule("P5")
@in_virtual_time
async def test_an_id_that_is_free_again_is_not_held_by_its_grace() -> None:
    async with world() as here:
        context, event_id = await ended(here, "a", "b")
        await here.raw.delete(SENTINEL)
        again = Source("new")
        stream = await context.resumable_stream(ID, again)
        assert isinstance(stream, ResumableStream)
        assert await anext(stream) == "new"
        assert again.calls == 1
        again.finish()
        assert event_id != stream.last_event_id
