"""Closing a context ends its calls under way and its superseded producers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resumable_stream import ContextClosedError, ResumableStream, StreamSupersededError
from support.virtual_time import in_virtual_time
from support.world import ID, SENTINEL, Source, begin, rest, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.mark.rule("P10")
@in_virtual_time
async def test_a_reader_on_its_way_is_not_attached_after_the_close() -> None:
    closed = 0
    for turns in range(30):
        async with world() as here:
            source, _, _ = await begin(here, "a")
            context, _ = here.instance()
            joining = asyncio.create_task(context.resume_existing_stream(ID))
            for _ in range(turns):
                await asyncio.sleep(0)
            await context.aclose(0)
            try:
                stream = await joining
                assert isinstance(stream, ResumableStream)
                with pytest.raises(ContextClosedError):
                    async for _ in stream:
                        pass
            except ContextClosedError:
                closed += 1
            source.finish()
    assert closed


@pytest.mark.rule("P10")
@in_virtual_time
async def test_a_call_that_the_close_overtook_attaches_nothing() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        context, broker = here.instance()
        broker.running.clear()
        joining = asyncio.create_task(context.resume_existing_stream(ID))
        await asyncio.sleep(0.1)
        await context.aclose(0)
        broker.running.set()
        with pytest.raises(ContextClosedError):
            await joining
        source.finish()


@pytest.mark.rule("P10", "P5")
@in_virtual_time
async def test_a_superseded_producer_that_was_followed_here_is_closed_too() -> None:
    async with world() as here:
        context, broker = here.instance()
        sources = [SlowToClose(), Source("b")]
        first = await context.create_new_resumable_stream(ID, sources[0])
        await here.raw.set(SENTINEL, str(1 << 20), ttl=60)
        broker.reconnect()
        with pytest.raises(StreamSupersededError):
            await rest(first)
        await here.raw.delete(SENTINEL)
        await context.create_new_resumable_stream(ID, sources[1])
        await context.aclose(0)
        left = [task.get_name() for task in asyncio.all_tasks() if ID in task.get_name()]
        assert left == [f"resumable-stream producer {ID!r} source"], "only what ignores its end"
        assert not broker._subscriptions
        await asyncio.sleep(60)


class SlowToClose(Source):
    async def __call__(self) -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(60)
