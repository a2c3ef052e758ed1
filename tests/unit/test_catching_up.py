"""A remote reader behind much text: what it asks for while it reads, and how it counts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resumable_stream import OffsetUnit, ResumableStream
from resumable_stream._protocol.wire import decode_request
from resumable_stream._text.offsets import length
from support.virtual_time import in_virtual_time
from support.world import ID, NAMES, begin, world

ROCKET = "\N{ROCKET}"


@pytest.mark.rule("LSN-2", "P7")
@in_virtual_time
async def test_more_is_asked_for_while_the_rest_is_read() -> None:
    chunks = [f"{number:040}" for number in range(50_000)]
    async with world() as here:
        source, _, _ = await begin(here, *chunks)
        context, broker = here.instance()
        stream = await context.resume_existing_stream(ID)
        assert isinstance(stream, ResumableStream)
        reader: Any = stream._reader
        unread: list[int] = []

        def look(channel: str, message: bytes) -> bool:
            request = decode_request(message) if channel == NAMES.request(ID) else None
            if request is not None and request.window:
                unread.append(reader.unread.count)
            return False

        broker.drop = look
        source.finish()
        await asyncio.sleep(1)  # the window is full
        unread.clear()
        assert [chunk async for chunk in stream] == chunks
        assert unread[0]


@pytest.mark.rule("FRM-2", "P2")
@pytest.mark.parametrize("unit", OffsetUnit)
@in_virtual_time
async def test_a_chunk_in_parts_is_counted_whole(unit: OffsetUnit) -> None:
    # The last part of the first chunk has ASCII only, as has all that comes with it.
    chunks = [ROCKET * 70_000 + "a" * 400_000, "b", "c"]
    async with world() as here:
        source, _, _ = await begin(here, *chunks, offset_unit=unit)
        context, _ = here.instance(offset_unit=unit)
        stream = await context.resume_existing_stream(ID)
        assert isinstance(stream, ResumableStream)
        source.finish()
        # The offset is asked for only now: before, it would be counted chunk by chunk.
        assert [chunk async for chunk in stream] == chunks
        assert stream.offset == length("".join(chunks), unit)


@pytest.mark.rule("P2")
@in_virtual_time
async def test_several_callers_share_what_is_there() -> None:
    chunks = [f"{number:04}" for number in range(1000)]
    async with world() as here:
        source, _, _ = await begin(here, *chunks[:10])
        context, _ = here.instance()
        stream = await context.resume_existing_stream(ID)
        assert isinstance(stream, ResumableStream)
        read: list[str] = []

        async def some() -> None:
            async for chunk in stream:
                read.append(chunk)
                await asyncio.sleep(0)

        callers = [asyncio.create_task(some()) for _ in range(3)]
        for at in range(10, 1000, 90):
            await asyncio.sleep(0.01)
            source.put(*chunks[at : at + 90])
        source.finish()
        await asyncio.gather(*callers)
        assert read == chunks
        assert stream.offset == 4000
