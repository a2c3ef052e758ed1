"""A source learns why it is closed, and a worker can wait for the end of a stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import (
    EndStatus,
    StreamEnd,
    closing_status,
    create_resumable_stream_context,
)
from support.endings import Store, cancelled, lost
from support.virtual_time import in_virtual_time
from support.world import ID, Source, rest, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.mark.parametrize("end", [cancelled, lost])
@in_virtual_time
async def test_a_source_learns_why_it_is_closed(end: Any) -> None:
    learnt: list[EndStatus | None] = []

    async def source() -> AsyncIterator[str]:
        learnt.append(closing_status())
        yield "a"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            learnt.append(closing_status())
            raise

    async with world() as here:
        context, _ = here.instance()
        await context.create_new_resumable_stream(ID, source)
        await asyncio.sleep(0.1)
        await end(context, Store(here))
        assert learnt == [None, end.__name__]
        assert closing_status() is None


def test_a_source_learns_that_the_event_loop_ends() -> None:
    learnt: list[EndStatus | None] = []
    ends: list[StreamEnd] = []

    async def source() -> AsyncIterator[str]:
        yield "a"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            learnt.append(closing_status())
            raise

    async def main() -> None:
        context = create_resumable_stream_context("memory://loop-ends")
        stream = await context.create_new_resumable_stream(ID, source, on_end=ends.append)
        await anext(stream)

    asyncio.run(main())
    assert learnt == ["lost"]
    assert [(end.status, end.text) for end in ends] == [("lost", "a")]


@in_virtual_time
async def test_a_worker_waits_for_the_end_and_for_readers_elsewhere() -> None:
    async with world() as here:
        context, _ = here.instance()
        remote, _ = here.instance()
        source = Source("a")
        await context.create_new_resumable_stream(ID, source)
        elsewhere = await remote.resume_existing_stream(ID)
        waiting = asyncio.create_task(context.wait_for_end(ID))
        await asyncio.sleep(1)
        assert not waiting.done()
        source.finish()
        assert await rest(elsewhere) == ["a"]
        async with asyncio.timeout(5):
            assert (await waiting).state == "completed"
        assert (await context.wait_for_end(ID)).state == "completed"
        assert (await remote.wait_for_end("nobody's")).state == "not_found"


@in_virtual_time
async def test_a_worker_whose_wait_is_cancelled_goes_on_producing() -> None:
    async with world() as here:
        context, _ = here.instance()
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(context.wait_for_end(ID), 1)
        source.put("b")
        source.finish()
        assert await rest(stream) == ["a", "b"]
