"""A reader may come before its producer."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from resumable_stream import (
    NOT_FOUND,
    BackendUnavailableError,
    ContextClosedError,
    InvalidArgumentError,
    ResumableStream,
)
from support.virtual_time import in_virtual_time
from support.world import ID, SENTINEL, Source, rest, world


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
