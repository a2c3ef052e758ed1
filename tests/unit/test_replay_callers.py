"""Several callers of one replay, and a replay that is closed while it waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import ResumableStream
from support.journals import Notebook, journaled, produced
from support.virtual_time import in_virtual_time
from support.world import ID, Source, rest, world

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.world import World

CHUNKS = [str(number) * 90_000 for number in range(9)]


def slow(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each page of the journal take a second."""
    read = notebook.read

    async def read_slowly(log: str, index: int, *, max_bytes: int) -> list[bytes]:
        records = await read(log, index, max_bytes=min(max_bytes, 1))
        await asyncio.sleep(1)
        return records

    monkeypatch.setattr(notebook, "read", read_slowly)


async def replayed(here: World, monkeypatch: pytest.MonkeyPatch) -> ResumableStream:
    context, _, notebook = journaled(here, None)
    slow(notebook, monkeypatch)
    stream = await context.resume_existing_stream(ID)
    assert isinstance(stream, ResumableStream)
    return stream


@pytest.mark.rule("P1", "P2", "JNL-6")
@in_virtual_time
async def test_callers_of_one_replay_share_its_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as here:
        await produced(here, CHUNKS)
        stream = await replayed(here, monkeypatch)
        parts = await asyncio.gather(*(rest(stream) for _ in range(4)))
        assert sorted(chunk for part in parts for chunk in part) == CHUNKS
        assert stream.offset == sum(map(len, CHUNKS))


@pytest.mark.rule("JNL-6")
@pytest.mark.parametrize("leave", [ResumableStream.close, ResumableStream.aclose])
@in_virtual_time
async def test_replay_that_is_closed_while_it_waits_reads_no_more(
    leave: Callable[[ResumableStream], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world() as here:
        generation = await produced(here, CHUNKS)
        stream = await replayed(here, monkeypatch)
        reading = asyncio.create_task(rest(stream))
        await asyncio.sleep(0.5)
        place = stream.last_event_id
        if (left := leave(stream)) is not None:
            await left
        assert f"{generation}-{len(await reading)}" == place


@pytest.mark.rule("JNL-6", "P10")
@in_virtual_time
async def test_replay_that_is_closed_while_it_goes_on_live_leaves_nothing() -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async", buffer_limit=100)
        source = Source()
        await context.create_new_resumable_stream(ID, source)
        for number in range(50):
            source.put(f"{number:09}\n")
            await asyncio.sleep(0.3)
        other, broker, _ = journaled(here, None)
        stream: Any = await other.resume_existing_stream(ID)
        reading = asyncio.create_task(rest(stream))
        while not broker._subscriptions:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0)
        stream.close()
        source.put("live")
        assert "live" not in await reading
        await asyncio.sleep(5)
        assert not broker._subscriptions
