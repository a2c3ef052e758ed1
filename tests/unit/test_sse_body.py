"""The body of an answer: chunks, heartbeats, every ending, and leaving."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream.sse import EVENTS, JSON, TEXT, SseReply, as_events, sse_reply
from support.event_source import Event, EventParser
from support.virtual_time import in_virtual_time, loop_time
from support.world import ID, LEASE, begin, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resumable_stream import NotFound, ResumableStream, ResumableStreamContext
    from support.world import World

ENDED = {"code": "completed"}


async def reply_of(
    context: ResumableStreamContext, place: str | None = None, **settings: Any
) -> SseReply:
    """Return the reply to a client that asks for the stream."""

    async def attach(last_event_id: str | None) -> ResumableStream | NotFound | None:
        return await context.resume_existing_stream(ID, last_event_id=last_event_id)

    headers = {"Last-Event-ID": place} if place else {}
    return await sse_reply(headers, {}, attach, **settings)


async def read(reply: SseReply, count: int | None = None) -> list[Event]:
    """Read ``count`` events, or all; further events of the last block are dropped."""
    parser, events = EventParser(), []
    async for block in reply.body:
        events += parser.feed(block)
        if count is not None and len(events) >= count:
            break
    return events[:count]


async def elsewhere(here: World, **options: Any) -> ResumableStreamContext:
    return here.instance(**options)[0]


@in_virtual_time
async def test_each_chunk_is_an_event_with_the_streams_id() -> None:
    async with world() as here:
        source, stream, generation = await begin(here, "a", "b")
        for context in (here.contexts[0], await elsewhere(here)):
            reply = await reply_of(context)
            assert reply.status == 200
            assert await read(reply, 2) == [
                Event("message", "a", f"{generation}-1"),
                Event("message", "b", f"{generation}-2"),
            ]
            await reply.body.aclose()
        assert [await anext(stream) for _ in "ab"] == ["a", "b"]
        assert stream.last_event_id == f"{generation}-2"
        source.finish()


@pytest.mark.parametrize("cut", range(5))
@in_virtual_time
async def test_resumed_events_are_the_same_events(cut: int) -> None:
    async with world() as here:
        items = ["text", {"x": 1}, "", {"y": "\r\n"}]

        async def events() -> AsyncIterator[object]:
            for item in items:
                yield item
            await asyncio.sleep(60)

        producing, other = [await elsewhere(here) for _ in range(2)]
        await producing.create_new_resumable_stream(ID, as_events(events))
        first, whole = [await reply_of(producing, chunks=EVENTS) for _ in range(2)]
        expected = await read(whole, 4)
        begun = await read(first, cut)
        await first.body.aclose()
        place = begun[-1].id if begun else None
        for context in (producing, other):
            resumed = await reply_of(context, place, chunks=EVENTS)
            assert begun + await read(resumed, 4 - cut) == expected
            await resumed.body.aclose()


@in_virtual_time
async def test_first_block_comes_before_the_first_text() -> None:
    async with world() as here:
        await begin(here)
        reply = await reply_of(here.contexts[0], retry=2.5)
        assert await anext(reply.body) == b"retry: 2500\n\n"
        await reply.body.aclose()


@in_virtual_time
async def test_silence_is_filled_with_comments() -> None:
    async with world() as here:
        source, _, _ = await begin(here)
        reply = await reply_of(await elsewhere(here), heartbeat=5)
        await anext(reply.body)
        began = loop_time()
        parser = EventParser()
        for _ in range(4):
            assert parser.feed(await anext(reply.body)) == []
        assert parser.comments == 4
        assert loop_time() - began == pytest.approx(20, abs=0.1)
        source.put("a")
        assert [event.data for event in await read(reply, 1)] == ["a"]
        source.finish()
        assert (await read(reply))[-1].event == "done"


@in_virtual_time
async def test_completed_stream_ends_with_done() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        replies = [await reply_of(here.contexts[0]), await reply_of(await elsewhere(here))]
        source.finish()
        for reply in replies:
            last = (await read(reply))[-1]
            assert (last.event, last.json, last.id) == ("done", ENDED, "end")


@pytest.mark.parametrize("disclosed", [False, True])
@in_virtual_time
async def test_failed_stream_ends_with_an_error_event(disclosed: bool) -> None:  # noqa: FBT001
    async with world() as here:
        source, _, _ = await begin(here, "a")
        contexts = [here.contexts[0], await elsewhere(here)]
        replies = [await reply_of(context, disclose_errors=disclosed) for context in contexts]
        source.finish(RuntimeError("key sk-123 is wrong"))
        await asyncio.sleep(1)
        late = [await reply_of(context, disclose_errors=disclosed) for context in contexts]
        for reply in replies + late:
            last = (await read(reply))[-1]
            assert (last.event, last.id, last.json["code"]) == ("stream-error", "end", "failed")
            told = last.json.get("error_type"), last.json.get("error_message")
            assert told == (("RuntimeError", "key sk-123 is wrong") if disclosed else (None, None))


@in_virtual_time
async def test_cancelled_stream_ends_with_an_error_event() -> None:
    async with world() as here:
        await begin(here, "a")
        contexts = [here.contexts[0], await elsewhere(here)]
        replies = [await reply_of(context) for context in contexts]
        await contexts[1].cancel_stream(ID)
        for reply in replies + [await reply_of(context) for context in contexts]:
            assert reply.status == 200
            assert (await read(reply))[-1].json["code"] == "cancelled"


@in_virtual_time
async def test_lost_producer_ends_with_an_error_event() -> None:
    async with world() as here:
        await begin(here, "a")
        other = await elsewhere(here)
        replies = [await reply_of(here.contexts[0]), await reply_of(other)]
        await here.contexts[0].aclose(0)
        for reply in [*replies, await reply_of(other)]:
            assert (await read(reply))[-1].json["code"] == "producer_lost"


@in_virtual_time
async def test_silent_producer_ends_with_an_error_event() -> None:
    async with world() as here:
        _, _, generation = await begin(here, "a")
        here.brokers[0].running.clear()
        other = await elsewhere(here, handshake_timeout=2)
        reply = await reply_of(other, f"{generation}-1")
        assert (await read(reply))[-1].json["code"] == "no_answer"
        here.brokers[0].running.set()


@in_virtual_time
async def test_trimmed_text_ends_with_an_error_event() -> None:
    async with world() as here:
        source, _, generation = await begin(here, "a", buffer_limit=4)
        reply = await reply_of(here.contexts[0])
        await read(reply, 1)
        source.put("bbb", "ccc", "ddd")
        await asyncio.sleep(1)
        assert (await read(reply))[-1].json["code"] == "trimmed"
        late = await reply_of(await elsewhere(here), f"{generation}-1")
        assert (await read(late))[-1].json["code"] == "trimmed"


@in_virtual_time
async def test_reader_of_a_closing_instance_is_cut_not_ended() -> None:
    async with world() as here:
        source, _, generation = await begin(here, "a")
        closing, staying = [await elsewhere(here) for _ in range(2)]
        reply = await reply_of(closing)
        assert [event.data for event in await read(reply, 1)] == ["a"]
        await closing.aclose(0)
        assert [block async for block in reply.body] == []
        # The client comes back to the same instance, and then to another.
        refused = await reply_of(closing, f"{generation}-1")
        assert (refused.status, await read(refused)) == (200, [])
        resumed = await reply_of(staying, f"{generation}-1")
        source.put("b")
        source.finish()
        assert [event.data for event in await read(resumed, 1)] == ["b"]


@in_virtual_time
async def test_reader_whose_broker_stays_away_is_cut_not_ended() -> None:
    async with world() as here:
        source, _, generation = await begin(here, "a")
        other, broker = here.instance(outage_timeout=5, handshake_timeout=1)
        reply = await reply_of(other)
        assert [event.data for event in await read(reply, 1)] == ["a"]
        broker.away = True
        assert {block async for block in reply.body} <= {b":\n\n"}
        returning = await reply_of(other, f"{generation}-1")
        assert (returning.status, await read(returning)) == (200, [])
        assert (await reply_of(other)).status == 503
        broker.reconnect()
        await asyncio.sleep(LEASE)
        source.finish()


@in_virtual_time
async def test_body_closed_under_its_reader_says_nothing_of_an_end() -> None:
    async with world() as here:
        await begin(here, "a")
        for context in (here.contexts[0], await elsewhere(here)):
            reply = await reply_of(context)
            reading = asyncio.create_task(read(reply))
            await asyncio.sleep(1)
            await reply.body.aclose()
            assert [event.data for event in await reading] == ["a"]
            assert await read(reply) == []


@in_virtual_time
async def test_cancelled_wait_leaves_the_stream_and_is_no_end() -> None:
    async with world() as here:
        await begin(here, "a")
        other, broker = here.instance()
        for context in (here.contexts[0], other):
            reply = await reply_of(context)
            assert [event.data for event in await read(reply, 1)] == ["a"]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(reply.body), 1)
            # Read one block, not all: a body that fails to end would send heartbeats for ever.
            assert await anext(reply.body, None) is None
        await asyncio.sleep(1)
        assert not broker._subscriptions


@in_virtual_time
async def test_body_is_closed_from_another_thread() -> None:
    async with world() as here:
        await begin(here, "a")
        other, broker = here.instance()
        reply = await reply_of(other)
        assert broker._subscriptions
        thread = threading.Thread(target=reply.body.close)
        thread.start()
        thread.join()
        await asyncio.sleep(1)
        assert not broker._subscriptions
        assert await read(reply) == []


@in_virtual_time
async def test_leaving_leaves_the_stream_running() -> None:
    async with world() as here:
        source, stream, _ = await begin(here, "a")
        other, broker = here.instance()
        reply = await reply_of(other)
        await read(reply, 1)
        assert broker._subscriptions
        await reply.body.aclose()
        await reply.body.aclose()
        assert not broker._subscriptions
        source.put("b")
        source.finish()
        assert [chunk async for chunk in stream] == ["a", "b"]


@in_virtual_time
async def test_text_that_utf8_cannot_encode_is_made_well_formed() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "\ud83d", "\ud83d\ude80")
        source.finish()
        plain, exact = [await reply_of(here.contexts[0], chunks=form) for form in (TEXT, JSON)]
        assert [event.data for event in await read(plain)][:2] == ["\ufffd", "\N{ROCKET}"]
        assert [event.json for event in await read(exact)][:2] == ["\ud83d", "\N{ROCKET}"]
