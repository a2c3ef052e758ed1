"""What a context that is closed does with calls that are on their way."""

from __future__ import annotations

import asyncio

import pytest

from resumable_stream import ContextClosedError, ResumableStream
from virtual_time import in_virtual_time
from world import ID, begin, world


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
