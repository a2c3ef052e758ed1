"""The blocks of a body: how many events each has, and how a client resumes after a cut block."""

from __future__ import annotations

import asyncio
import codecs
import gc
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import OffsetUnit
from resumable_stream._text.offsets import length
from resumable_stream.sse import EVENTS, JSON, TEXT, EventFormat, SseReply, sse_reply
from support.event_source import Event, EventParser
from support.virtual_time import in_virtual_time, loop_time
from support.world import ID, TypeScriptProducer, begin, world

if TYPE_CHECKING:
    from resumable_stream import ResumableStream, ResumableStreamContext
    from support.world import World

RETRY = b"retry: 1000\n\n"
HEARTBEAT = b":\n\n"
WHERE = pytest.mark.parametrize("where", ["beside", "elsewhere"])
WELL_FORMED = [
    "",
    "plain",
    "a\nb\r\nc\rd",
    "\n",
    "",
    "\u00e9\u6f22\N{ROCKET}",
    "data: 1\n\nid: 7-7\n\n",
    "\x1e\x1f\u2028",
    " x ",
]
SURROGATES = ["\ud83d", "\ude80", "\ud83d\ude80", "x\udfff"]
OWN_EVENTS = [
    "data: \N{ROCKET}\nid: 5\n\n",
    ": nothing\n\n",
    "",
    "event: e\r\ndata: 1\r\ndata:\r\n\r\n",
    "data: \ud83d\n\n",
]


def context_of(here: World, where: str) -> ResumableStreamContext:
    return here.contexts[0] if where == "beside" else here.instance()[0]


async def attach(context: ResumableStreamContext, **start: Any) -> ResumableStream:
    stream = await context.resume_existing_stream(ID, **start)
    assert stream
    await asyncio.sleep(1)  # until all present text has come
    return stream


async def reply_of(
    context: ResumableStreamContext, place: str | None = None, **settings: Any
) -> SseReply:
    headers = {"Last-Event-ID": place} if place else {}
    return await sse_reply(
        headers, {}, lambda place: attach(context, last_event_id=place), **settings
    )


async def next_text(reply: SseReply) -> bytes:
    """Return the next block with events."""
    while True:
        block = await anext(reply.body)
        if block not in (RETRY, HEARTBEAT):
            return block


@WHERE
@pytest.mark.parametrize(
    ("chunks", "form"),
    [
        (WELL_FORMED + SURROGATES, TEXT),
        (WELL_FORMED + SURROGATES, JSON),
        (OWN_EVENTS, EVENTS),
    ],
    ids=["text", "json", "events"],
)
@in_virtual_time
async def test_client_that_is_cut_at_any_byte_resumes_exactly(
    where: str, chunks: list[str], form: EventFormat
) -> None:
    async with world() as here:
        await begin(here, *chunks)
        context = context_of(here, where)
        whole = await next_text(await reply_of(context, chunks=form))
        expected = EventParser().feed(whole)
        resumed = dict[str, list[Event]]()
        for cut in range(len(whole) + 1):
            parser = EventParser()
            begun = parser.feed(whole[:cut])
            place = parser.last_event_id
            if place not in resumed:
                reply = await reply_of(context, place or None, chunks=form)
                at_end = place.endswith(f"-{len(chunks)}")
                resumed[place] = [] if at_end else EventParser().feed(await next_text(reply))
                await reply.body.aclose()
            assert begun + resumed[place] == expected, (cut, place)
        assert len(resumed) == len(chunks) + 1


@WHERE
@pytest.mark.parametrize("unit", OffsetUnit)
@in_virtual_time
async def test_plain_text_that_is_cut_at_any_byte_resumes_exactly(
    where: str, unit: OffsetUnit
) -> None:
    expected = "".join(WELL_FORMED)
    async with world() as here:
        await begin(here, *WELL_FORMED, offset_unit=unit)
        context = here.contexts[0]
        if where == "elsewhere":
            context, _ = here.instance(offset_unit=unit)
        stream = await attach(context)
        whole = "".join(await anext(stream.runs())).encode()
        resumed = dict[int, str]()
        for cut in range(len(whole) + 1):
            begun = codecs.getincrementaldecoder("utf-8")().decode(whole[:cut])
            offset = length(begun, unit)
            if offset not in resumed:
                at_end = len(begun) == len(expected)
                stream = await attach(context, skip_characters=offset)
                resumed[offset] = "" if at_end else "".join(await anext(stream.runs()))
                await stream.aclose()
            assert begun + resumed[offset] == expected, cut
        assert len(resumed) == len(expected) + 1


@WHERE
@in_virtual_time
async def test_waiting_events_leave_in_few_blocks(where: str) -> None:
    chunks = [f"{number:05} ".ljust(40, "x") for number in range(10_000)]
    async with world() as here:
        source, _, generation = await begin(here, *chunks)
        reply = await reply_of(context_of(here, where))
        source.finish()
        blocks = [block async for block in reply.body if block != HEARTBEAT]
        assert len(blocks) < 20
        assert max(map(len, blocks)) <= 64 * 1024
        events = [event for block in blocks for event in EventParser().feed(block)]
        assert [event.data for event in events[:-1]] == chunks
        ids = [f"{generation}-{number}" for number in range(1, len(chunks) + 1)]
        assert [event.id for event in events] == [*ids, "end"]


@WHERE
@in_virtual_time
async def test_large_chunk_has_a_block_of_its_own(where: str) -> None:
    async with world() as here:
        await begin(here, "a", "x" * 200_000, "b")
        reply = await reply_of(context_of(here, where))
        blocks = [await next_text(reply) for _ in range(3)]
        data = [[event.data for event in EventParser().feed(block)] for block in blocks]
        assert data == [["a"], ["x" * 200_000], ["b"]]
        await reply.body.aclose()


@WHERE
@in_virtual_time
async def test_lone_event_leaves_at_once(where: str) -> None:
    async with world() as here:
        source, _, generation = await begin(here)
        reply = await reply_of(context_of(here, where))
        assert await anext(reply.body) == RETRY
        for number in range(1, 20):
            sending = asyncio.create_task(next_text(reply))
            await asyncio.sleep(1)
            assert not sending.done()
            source.put("a")
            put = loop_time()
            assert await sending == f"data: a\nid: {generation}-{number}\n\n".encode()
            assert loop_time() - put < 0.01
        await reply.body.aclose()


@in_virtual_time
async def test_events_of_a_typescript_producer_have_no_ids() -> None:
    async with world() as here:
        producer = TypeScriptProducer(here)
        await producer.start()
        reply = await reply_of(here.instance()[0])
        await producer.send("a", "b\nc", "")
        await producer.finish()
        assert await next_text(reply) == b"data: a\n\ndata: b\ndata: c\n\ndata: \n\n"
        assert EventParser().feed(await next_text(reply))[0].id == "end"


@WHERE
@in_virtual_time
async def test_silence_counts_from_the_last_block(where: str) -> None:
    async with world() as here:
        source, _, _ = await begin(here)
        reply = await reply_of(context_of(here, where), heartbeat=5)
        assert await anext(reply.body) == RETRY
        for pause in (1, 4.9, 0.1, 4.9, 3):
            sending = asyncio.ensure_future(anext(reply.body))
            await asyncio.sleep(pause)
            source.put("a")
            assert await sending != HEARTBEAT
        for _ in range(3):
            began = loop_time()
            assert await anext(reply.body) == HEARTBEAT
            assert loop_time() - began == pytest.approx(5)
        await reply.body.aclose()


@WHERE
@in_virtual_time
async def test_body_that_is_dropped_leaves_its_stream_though_a_heartbeat_is_due(where: str) -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        reply = await reply_of(context_of(here, where), heartbeat=86_400)
        await next_text(reply)
        stream = reply.body._stream  # type: ignore[union-attr]  # it is an SseBody
        assert stream is not None
        reader: Any = stream._reader
        del stream, reply
        gc.collect()
        await asyncio.sleep(1)
        source.put("b")
        with pytest.raises(StopAsyncIteration):
            await reader.next_run()
