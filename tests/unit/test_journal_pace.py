"""How often the journal is written, and when that is together with others."""

from __future__ import annotations

import asyncio

from support.journals import journaled
from support.virtual_time import in_virtual_time, loop_time
from support.world import ID, Source, rest, world


@in_virtual_time
async def test_what_many_streams_have_due_is_written_together() -> None:
    async with world() as here:
        context, _, notebook = journaled(here, "async")
        moments: list[float] = []

        async def meanwhile() -> None:
            moments.append(loop_time())

        notebook.meanwhile = meanwhile
        sources = [Source() for _ in range(10)]
        streams = [
            await context.create_new_resumable_stream(f"{ID}-{number}", source)
            for number, source in enumerate(sources)
        ]
        for source in sources:
            source.put("x")
            await asyncio.sleep(0.002)
        await asyncio.sleep(1.5)
        assert len(moments) == 10
        assert len(set(moments)) <= 2
        for source, stream in zip(sources, streams, strict=True):
            source.finish()
            assert await rest(stream) == ["x"]


@in_virtual_time
async def test_a_fast_stream_is_written_fifty_times_a_second_at_most() -> None:
    async with world() as here:
        context, _, notebook = journaled(here, "async")
        source = Source()
        stream = await context.create_new_resumable_stream(ID, source)
        for _ in range(1_000):
            source.put(*["fifteen letters"] * 710)
            await asyncio.sleep(0.001)
        assert 40 <= notebook.appends <= 52
        source.finish()
        assert len(await rest(stream)) == 710_000
