"""What a source may be, and what becomes of one that misbehaves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import (
    InvalidSourceError,
    StreamFailedError,
    StreamState,
)
from support.virtual_time import in_virtual_time
from support.world import ID, rest, two_chunks, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Iterable:
    def __aiter__(self) -> AsyncIterator[str]:
        return two_chunks()


async def awaited() -> AsyncIterator[str]:
    return two_chunks()


@pytest.mark.parametrize("make", [two_chunks, Iterable, awaited])
@in_virtual_time
async def test_every_shape_of_source_works(make: Any) -> None:
    async with world() as here:
        context, _ = here.instance()
        assert await rest(await context.resumable_stream(ID, make)) == ["a", "b"]
        assert await context.resumable_stream(ID, make) is None
        assert await context.resume_existing_stream(ID) is None
        assert await context.has_existing_stream(ID) == "DONE"


async def bytes_chunks() -> AsyncIterator[Any]:
    yield "a"
    yield b"b"


def raises() -> AsyncIterator[str]:
    raise LookupError("before the first chunk")


async def raises_awaited() -> AsyncIterator[str]:
    raise LookupError("before the first chunk")


@pytest.mark.rule("P3")
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (bytes_chunks, "InvalidSourceError"),
        (raises, "LookupError"),
        (raises_awaited, "LookupError"),
        (lambda: ["a"], "InvalidSourceError"),
        (lambda: None, "InvalidSourceError"),
    ],
)
@in_virtual_time
async def test_a_bad_source_is_a_failed_stream(make: Any, kind: str) -> None:
    async with world() as here:
        context, _ = here.instance()
        other, _ = here.instance()
        stream = await context.create_new_resumable_stream(ID, make)
        with pytest.raises(StreamFailedError) as caught:
            await rest(stream)
        assert caught.value.error_type == kind
        assert type(caught.value.__cause__).__name__ == kind
        with pytest.raises(StreamFailedError) as told:
            await other.resumable_stream(ID, make)
        assert told.value.error_type == kind
        status = await other.stream_status(ID)
        assert (status.state, status.error_type) == (StreamState.FAILED, kind)


@in_virtual_time
async def test_what_is_no_source_is_refused_at_once() -> None:
    async with world() as here:
        context, _ = here.instance()
        generator = two_chunks()
        for bad in (generator, None, ["a"]):
            with pytest.raises(InvalidSourceError, match="async generator function"):
                await context.resumable_stream(ID, bad)  # type: ignore[arg-type]
        assert await here.sentinel() is None


async def stubborn(release: asyncio.Event) -> AsyncIterator[str]:
    yield "a"
    while not release.is_set():
        try:
            await release.wait()
        except asyncio.CancelledError:
            continue


@pytest.mark.rule("P9")
@in_virtual_time
async def test_a_source_that_ignores_its_cancellation_is_left() -> None:
    async with world() as here:
        context, _ = here.instance()
        release = asyncio.Event()

        await context.create_new_resumable_stream(ID, lambda: stubborn(release))
        await asyncio.sleep(0.1)
        assert await context.cancel_stream(ID) == "cancelled"
        release.set()
        await asyncio.sleep(6)
        assert await here.sentinel() == "DONE"


@pytest.mark.rule("P4")
@in_virtual_time
async def test_a_close_does_not_wait_for_a_stubborn_source() -> None:
    async with world() as here:
        context, _ = here.instance()
        release = asyncio.Event()

        await context.create_new_resumable_stream(ID, lambda: stubborn(release))
        await asyncio.sleep(0.1)
        await asyncio.wait_for(context.aclose(1), 30)
        assert await here.sentinel() == "DONE"
        release.set()
        await asyncio.sleep(0)


@in_virtual_time
async def test_a_source_that_cancels_itself_has_failed() -> None:
    async with world() as here:
        context, _ = here.instance()

        async def confused() -> AsyncIterator[str]:
            yield "a"
            raise asyncio.CancelledError

        stream = await context.create_new_resumable_stream(ID, confused)
        with pytest.raises(StreamFailedError, match="CancelledError"):
            await rest(stream)
