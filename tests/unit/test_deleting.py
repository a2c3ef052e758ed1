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
from support.journals import died, ending_with, generation, journaled, kept, produced
from support.virtual_time import in_virtual_time
from support.world import ID, OUTCOME, SENTINEL, Peer, Source, rest, world


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


@pytest.mark.rule("JNL-8")
@in_virtual_time
async def test_the_run_that_the_broker_knows_is_deleted_and_not_only_the_one_here() -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async")
        source = Source("a")
        first = await context.create_new_resumable_stream(ID, source)
        # It serves a listener that never says whether it got the end.
        await Peer(here).ask(version=2, window=100)
        source.finish()
        assert await rest(first) == ["a"]
        await asyncio.sleep(1)
        # The broker comes back empty, and somebody else is asked for the stream.
        await here.raw.delete(SENTINEL)
        await here.raw.delete(OUTCOME)
        other, _, _ = journaled(here, "async")
        stream = await other.create_new_resumable_stream(ID, ending_with("b"))
        run = await generation(here)
        assert await rest(stream) == ["b"]
        await asyncio.sleep(1)
        assert await context.delete_stream(ID) is DeleteResult.DELETED
        assert await kept(here, run) == ([], [])
        assert await context.resume_existing_stream(ID) is NOT_FOUND
