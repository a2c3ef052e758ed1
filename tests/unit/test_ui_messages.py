"""The AI SDK's UI message stream: every ending is a part, and none of them looks like another."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream.sse import UI_MESSAGES, as_events, sse_reply
from support.event_source import EventParser
from support.virtual_time import in_virtual_time
from support.world import ID, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resumable_stream import ResumableStreamContext
    from resumable_stream.sse import SseReply
    from support.world import World

DELTA = {"type": "text-delta", "id": "text", "delta": "\r\n\ud800\N{ROCKET}"}
FINISH = {"type": "finish"}
DONE = "[DONE]"


async def begin(
    here: World, error: Exception | None = None
) -> tuple[ResumableStreamContext, ResumableStreamContext]:
    """Start an answer that takes a minute; return its producer's context and another."""

    async def parts() -> AsyncIterator[object]:
        yield DELTA
        await asyncio.sleep(60)
        if error is not None:
            raise error
        yield FINISH

    producing, other = (here.instance()[0] for _ in range(2))
    await producing.create_new_resumable_stream(ID, as_events(parts))
    return producing, other


async def reply_of(context: ResumableStreamContext, **settings: Any) -> SseReply:
    return await sse_reply(
        {}, {}, lambda _: context.resume_existing_stream(ID), chunks=UI_MESSAGES, **settings
    )


async def parts_of(reply: SseReply) -> list[Any]:
    parser = EventParser()
    events = [event async for block in reply.body for event in parser.feed(block)]
    assert {event.event for event in events} == {"message"}
    return [event.data if event.data == DONE else json.loads(event.data) for event in events]


@in_virtual_time
async def test_answer_has_the_header_and_the_parts() -> None:
    async with world() as here:
        for reply in [await reply_of(context) for context in await begin(here)]:
            assert reply.headers["X-Vercel-AI-UI-Message-Stream"] == "v1"
            assert reply.headers["Content-Type"] == "text/event-stream"
            assert await parts_of(reply) == [DELTA, FINISH, DONE]


@pytest.mark.parametrize(
    ("disclosed", "text"), [(False, "the source of this stream failed"), (True, "no tokens")]
)
@in_virtual_time
async def test_failure_is_an_error_part(disclosed: bool, text: str) -> None:  # noqa: FBT001
    async with world() as here:
        contexts = await begin(here, RuntimeError("no tokens"))
        ending = [{"type": "error", "errorText": text}, DONE]
        for reply in [await reply_of(one, disclose_errors=disclosed) for one in contexts]:
            assert await parts_of(reply) == [DELTA, *ending]
        for late in [await reply_of(one, disclose_errors=disclosed) for one in contexts]:
            assert await parts_of(late) == ending


@in_virtual_time
async def test_cancelled_answer_is_aborted() -> None:
    async with world() as here:
        producing, other = await begin(here)
        replies = [await reply_of(context) for context in (producing, other)]
        await other.cancel_stream(ID)
        for reply in replies:
            *_, abort, done = await parts_of(reply)
            assert (abort["type"], done) == ("abort", DONE)


@in_virtual_time
async def test_lost_producer_is_an_error_part() -> None:
    async with world() as here:
        producing, other = await begin(here)
        reply = await reply_of(other)
        await producing.aclose(0)
        *_, error, done = await parts_of(reply)
        assert (error["type"], done) == ("error", DONE)
        assert error["errorText"] == "the producer of this stream is gone"


@in_virtual_time
async def test_answer_that_goes_on_elsewhere_is_an_error_part() -> None:
    async with world() as here:
        producing, closing = await begin(here)
        reply = await reply_of(closing)
        for _ in ("retry", "delta"):
            await anext(reply.body)
        await closing.aclose(0)
        error, done = await parts_of(reply)
        assert (error["type"], done) == ("error", DONE)
        assert "resume it" in error["errorText"]
        assert await parts_of(await reply_of(producing)) == [DELTA, FINISH, DONE]
