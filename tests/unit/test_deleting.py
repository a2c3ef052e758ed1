"""A deleted stream leaves nothing, and frees its id."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from resumable_stream import (
    NOT_FOUND,
    DeleteResult,
    StreamFailedError,
)
from support.journals import died, ending_with, journaled, kept, produced
from support.virtual_time import in_virtual_time
from support.world import ID, Source, rest, world


@pytest.mark.rule("P3", "JNL-8")
@in_virtual_time
async def test_a_deleted_stream_is_gone_and_its_id_is_free() -> None:
    async with world() as here:
        run = await produced(here, ["a"])
        context, _, _ = journaled(here, "async")
        assert await context.delete_stream(ID) is DeleteResult.DELETED
        assert await context.resume_existing_stream(ID) is NOT_FOUND
        assert await context.delete_stream(ID) is DeleteResult.NOT_FOUND
        assert await kept(here, run) == ([], [])
        source = Source("new")
        stream = await context.resumable_stream(ID, source)
        assert await context.delete_stream(ID) is DeleteResult.STILL_ACTIVE
        source.finish()
        assert await rest(stream) == ["new"]
        assert await context.delete_stream(ID) is DeleteResult.DELETED
        assert await rest(await context.resumable_stream(ID, ending_with("again"))) == ["again"]


@pytest.mark.rule("P3", "P12")
@in_virtual_time
async def test_a_stream_that_is_being_deleted_never_looks_complete() -> None:
    async with world() as here:
        await produced(here, ["a"], error=ValueError("no"))
        broker: Any
        context, broker, _ = journaled(here, "async")
        reader, _, _ = journaled(here, None)
        swap = broker.compare_and_set

        async def slowly(*arguments: str, ttl: int) -> bool:
            await asyncio.sleep(0.3)
            return bool(await swap(*arguments, ttl=ttl))

        broker.compare_and_set = slowly
        deleting = asyncio.create_task(context.delete_stream(ID))
        found: Any = None
        while found is not NOT_FOUND:
            with contextlib.suppress(StreamFailedError):
                found = await reader.resume_existing_stream(ID)
                assert found is not None, "it is said to be complete"
            await asyncio.sleep(0.01)
        assert await deleting is DeleteResult.DELETED
        source = ending_with("again")
        assert await rest(await reader.resumable_stream(ID, source)) == ["again"]
        assert source.calls == 1


@pytest.mark.rule("P3", "JNL-8")
@in_virtual_time
async def test_what_a_dead_producer_left_can_be_deleted() -> None:
    async with world() as here:
        await died(here, "a")
        context, _, _ = journaled(here, "async")
        assert await context.delete_stream(ID) is DeleteResult.DELETED
        stream = await context.resumable_stream(ID, ending_with("again"))
        assert await rest(stream) == ["again"]
