"""A reader may come before its producer."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import (
    NOT_FOUND,
    BackendUnavailableError,
    ContextClosedError,
    InvalidArgumentError,
    ProducerLostError,
    ResumableStream,
)
from support.journals import ending_with, journaled
from support.virtual_time import in_virtual_time
from support.world import ID, LEASE, SENTINEL, Source, rest, world

if TYPE_CHECKING:
    from support.world import World


@pytest.mark.rule("P1", "SEN-12")
@pytest.mark.parametrize("where", ["here", "elsewhere"])
@in_virtual_time
async def test_a_stream_that_begins_later_is_read_whole(where: str) -> None:
    async with world() as here:
        (reads, _), (begins, _) = here.instance(), here.instance()
        if where == "here":
            begins = reads
        clock = asyncio.get_running_loop().time
        waiting = asyncio.create_task(reads.resume_existing_stream(ID, wait=60))
        await asyncio.sleep(20)
        assert not waiting.done()
        source, began = Source("a", "b"), clock()
        own = await begins.create_new_resumable_stream(ID, source)
        stream = await waiting
        assert clock() - began <= (0.1 if where == "here" else 1.1)
        source.finish()
        assert await rest(own) == await rest(stream) == ["a", "b"]


@pytest.mark.rule("SEN-12")
@in_virtual_time
async def test_a_stream_that_never_begins_is_not_found_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as here:
        context, broker = here.instance()
        looks = 0
        get = broker.get

        async def counted(key: str) -> str | None:
            nonlocal looks
            looks += key == SENTINEL
            return await get(key)

        monkeypatch.setattr(broker, "get", counted)
        clock = asyncio.get_running_loop().time
        began = clock()
        assert await context.resume_existing_stream(ID, wait=30) == NOT_FOUND
        assert 30 <= clock() - began <= 31
        assert looks <= 32
        assert await context.resume_existing_stream(ID, wait=0) == NOT_FOUND
        assert not context._binding.get().expecting._begun


@pytest.mark.rule("P4")
@in_virtual_time
async def test_a_broker_that_is_away_is_waited_for_as_long() -> None:
    async with world() as here:
        (context, broker), (other, _) = here.instance(), here.instance()
        source = Source("a")
        source.finish()
        await other.create_new_resumable_stream(ID, source)
        broker.away = True
        asyncio.get_running_loop().call_later(10, setattr, broker, "away", False)
        stream = await context.resume_existing_stream(ID, wait=30)
        assert stream is None or isinstance(stream, ResumableStream)
        broker.away = True
        with pytest.raises(BackendUnavailableError):
            await context.resume_existing_stream("other", wait=5)


@in_virtual_time
async def test_waiting_can_be_cancelled_and_ends_with_its_context() -> None:
    async with world() as here:
        context, _ = here.instance()
        waiting = asyncio.create_task(context.resume_existing_stream(ID, wait=60))
        await asyncio.sleep(5)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        waiting = asyncio.create_task(context.resume_existing_stream(ID, wait=60))
        await asyncio.sleep(5)
        await context.aclose()
        with pytest.raises(ContextClosedError):
            await asyncio.wait_for(waiting, 2)


@pytest.mark.parametrize("wait", [-1, math.nan, math.inf, "1", None, True])
@in_virtual_time
async def test_a_wait_that_is_no_duration_is_refused(wait: Any) -> None:
    async with world() as here:
        with pytest.raises(InvalidArgumentError, match="wait"):
            await here.instance()[0].resume_existing_stream(ID, wait=wait)


async def lost(here: World, *chunks: str) -> tuple[Any, asyncio.Task[list[str]]]:
    """Let a producer die whose stream somebody reads that waits for a minute; return the text."""
    dying, broker, notebook = journaled(here)
    await dying.create_new_resumable_stream(ID, Source(*chunks))
    await asyncio.sleep(3)
    reads, _, _ = journaled(here)
    stream: Any = await reads.resume_existing_stream(ID, wait=60)
    reading = asyncio.create_task(rest(stream))
    await asyncio.sleep(1)
    broker.away = notebook.away = True
    await asyncio.sleep(1.2 * LEASE)
    return stream, reading


@pytest.mark.rule("P1", "SEN-12", "CNT-5")
@pytest.mark.parametrize("where", ["here", "elsewhere"])
@in_virtual_time
async def test_a_stream_that_was_lost_is_read_on_once_it_goes_on(where: str) -> None:
    async with world() as here:
        _, reading = await lost(here, "a", "b")
        await asyncio.sleep(30)
        assert not reading.done()
        goes_on = here.contexts[-1] if where == "here" else journaled(here)[0]
        more = ending_with("c")
        await goes_on.resumable_stream(ID, more, continue_lost=lambda _: more())
        assert await reading == ["a", "b", "c"]


@pytest.mark.rule("P1", "SEN-12", "CNT-5")
@in_virtual_time
async def test_who_has_read_nothing_of_it_reads_what_begins_anew() -> None:
    async with world() as here:
        _, reading = await lost(here)
        await asyncio.sleep(30)
        await journaled(here)[0].resumable_stream(ID, ending_with("a", "b"))
        assert await reading == ["a", "b"]


@pytest.mark.rule("P3", "P4", "SEN-12")
@in_virtual_time
async def test_a_stream_that_never_goes_on_is_lost_in_the_end() -> None:
    async with world() as here:
        clock = asyncio.get_running_loop().time
        began = clock()
        stream, reading = await lost(here, "a")
        reading.cancel()
        error: Exception = TimeoutError()
        while isinstance(error, TimeoutError):  # as a server does that sends heartbeats meanwhile
            (error,) = await asyncio.gather(
                asyncio.wait_for(anext(stream), 10), return_exceptions=True
            )
        assert isinstance(error, ProducerLostError)
        assert 60 <= clock() - began <= 60 + 3 * LEASE


@pytest.mark.rule("P10", "SEN-12")
@in_virtual_time
async def test_who_leaves_meanwhile_waits_no_more() -> None:
    async with world() as here:
        stream, reading = await lost(here, "a")
        await stream.aclose()
        with pytest.raises(ProducerLostError):
            await asyncio.wait_for(reading, 2)


@pytest.mark.rule("P4", "SEN-12")
@in_virtual_time
async def test_a_producer_that_does_not_answer_may_have_a_successor() -> None:
    async with world() as here:
        dying, broker, notebook = journaled(here)
        await dying.create_new_resumable_stream(ID, Source("a"))
        await asyncio.sleep(3)
        broker.away = notebook.away = True
        reads, _, _ = journaled(here, handshake_timeout=0.1 * LEASE)
        waiting = asyncio.create_task(reads.resume_existing_stream(ID, wait=60))
        await asyncio.sleep(0.5 * LEASE)
        assert not waiting.done()
        more = ending_with("b")
        await journaled(here)[0].resumable_stream(ID, more, continue_lost=lambda _: more())
        assert await rest(await waiting) == ["a", "b"]
