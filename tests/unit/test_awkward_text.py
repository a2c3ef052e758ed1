"""Separators, lone surrogates and empty chunks reach readers on other instances unchanged."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resumable_stream import ResumableStream
from resumable_stream._protocol.joined_fields import MAX_PARTS
from resumable_stream._reading.unread import CHUNK_COST
from support.hostile import AWKWARD
from support.virtual_time import in_virtual_time, run_in_virtual_time
from support.world import ID, begin, rest, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.mark.rule("P2", "FRM-1")
@settings(max_examples=60)
@given(chunks=st.lists(AWKWARD, max_size=30), early=st.integers(0, 30), pause=st.booleans())
def test_awkward_chunks_reach_readers_elsewhere(
    *, chunks: list[str], early: int, pause: bool
) -> None:
    async def read() -> None:
        async with world() as here:
            source, local, _ = await begin(here, *chunks[:early])
            context, _ = here.instance()
            stream = await context.resume_existing_stream(ID)
            for chunk in chunks[early:]:
                source.put(chunk)
                if pause:
                    await asyncio.sleep(0.01)
            source.finish()
            assert await rest(stream) == chunks
            assert await rest(local) == chunks

    run_in_virtual_time(read())


@pytest.mark.rule("P7", "LSN-2")
@in_virtual_time
async def test_very_many_empty_chunks_stay_within_the_window_and_all_arrive() -> None:
    count = 100_000

    async def source() -> AsyncIterator[str]:
        for _ in range(count):
            yield ""
        await over.wait()

    async with world() as here:
        over = asyncio.Event()
        producing, _ = here.instance()
        await producing.create_new_resumable_stream(ID, source)
        await asyncio.sleep(1)
        context, _ = here.instance()
        stream = await context.resume_existing_stream(ID)
        assert isinstance(stream, ResumableStream)
        await asyncio.sleep(1)
        reader: Any = stream._reader
        assert reader.unread.room > -MAX_PARTS * CHUNK_COST
        over.set()
        assert await rest(stream) == [""] * count
