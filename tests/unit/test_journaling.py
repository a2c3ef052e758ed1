"""What is written to the journal, and when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resumable_stream import (
    InvalidSettingError,
    Options,
    StreamState,
    create_resumable_stream_context,
)
from resumable_stream._protocol.sentinel import Running
from resumable_stream_conformance import BackendWrapper
from resumable_stream_memory import MemoryBackend
from support.journals import generation, journaled, kept, outcome
from support.virtual_time import in_virtual_time
from support.world import ID, OUTCOME, Source, rest, world


@pytest.mark.rule("JNL-1", "JNL-4", "P12")
@pytest.mark.parametrize("durability", ["exit", "async", "sync"])
@in_virtual_time
async def test_all_of_the_text_is_kept_with_its_end(durability: str) -> None:
    async with world() as here:
        context, _, _ = journaled(here, durability)
        source = Source("a", "b")
        stream = await context.create_new_resumable_stream(ID, source)
        run = await generation(here)
        await asyncio.sleep(3)
        source.put("c")
        source.finish()
        assert await rest(stream) == ["a", "b", "c"]
        await asyncio.sleep(1)
        texts, ends = await kept(here, run)
        assert "".join(texts) == "abc"
        assert ends == ["completed"]
        assert (await outcome(here)).kept_until
        status = await context.stream_status(ID)
        assert status.state is StreamState.COMPLETED
        assert status.kept_until is not None


@pytest.mark.rule("P8")
@in_virtual_time
async def test_without_durability_the_journal_is_never_called() -> None:
    async with world() as here:
        context, _, notebook = journaled(here, None)
        source = Source("a", "b")
        source.finish()
        stream = await context.create_new_resumable_stream(ID, source)
        assert await rest(stream) == ["a", "b"]
        await asyncio.sleep(60)
        assert await context.resume_existing_stream(ID) is None
        assert notebook.calls == 0


@pytest.mark.rule("JNL-3")
@in_virtual_time
async def test_a_run_at_its_exit_is_written_once() -> None:
    async with world() as here:
        context, broker, notebook = journaled(here, "exit")
        source = Source(*"abc")
        stream = await context.create_new_resumable_stream(ID, source)
        await asyncio.sleep(20)
        assert notebook.calls == 0
        assert OUTCOME not in dict(broker.writes)
        source.finish()
        assert await rest(stream) == ["a", "b", "c"]
        await asyncio.sleep(1)
        assert notebook.calls == notebook.appends == 1


@pytest.mark.rule("JNL-3")
@in_virtual_time
async def test_text_that_grows_is_written_once_a_second() -> None:
    async with world() as here:
        context, broker, notebook = journaled(here, "async")
        source = Source()
        stream = await context.create_new_resumable_stream(ID, source)
        run = await generation(here)
        for _ in range(100):
            source.put("x")
            await asyncio.sleep(0.1)
        assert 8 <= notebook.appends <= 11
        assert Running.decode(await here.raw.get(OUTCOME)) is not None
        assert [key for key, _ in broker.writes].count(OUTCOME) == 1
        appends = notebook.appends
        await asyncio.sleep(100)
        assert notebook.appends <= appends + 1, "nothing is written where nothing grows"
        source.put("y" * 40_000)
        await asyncio.sleep(0.2)
        texts, _ = await kept(here, run)
        assert len("".join(texts)) == 40_100, "a full block does not wait"
        source.finish()
        await rest(stream)


@pytest.mark.rule("P6", "P12")
@in_virtual_time
async def test_readers_of_a_sync_stream_get_only_what_is_written() -> None:
    async with world() as here:
        context, _, notebook = journaled(here, "sync")
        other, _, _ = journaled(here, "sync")
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        run = await generation(here)
        assert await anext(stream) == "a"
        remote: Any = await other.resume_existing_stream(ID)
        assert await anext(remote) == "a"
        notebook.away = True
        source.put("b")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(remote), 5)
        notebook.away = False
        assert await anext(stream) == "b"
        assert await anext(remote) == "b"
        assert (await kept(here, run))[0] == ["a", "b"]
        source.finish()
        assert await rest(stream) == await rest(remote) == []


@pytest.mark.rule("JNL-2")
@pytest.mark.parametrize("durability", ["exit", "async", "sync"])
@in_virtual_time
async def test_a_stream_longer_than_the_limit_is_not_kept(durability: str) -> None:
    async with world() as here:
        context, _, _ = journaled(here, durability, journal_limit=1000)
        source = Source()
        stream = await context.create_new_resumable_stream(ID, source)
        chunks = ["x" * 100] * 20
        for chunk in chunks:
            source.put(chunk)
            await asyncio.sleep(0.5)
        source.finish()
        assert await rest(stream) == chunks
        await asyncio.sleep(1)
        assert not (await outcome(here)).kept_until
        assert await context.resume_existing_stream(ID) is None


def test_durability_needs_a_journal() -> None:
    bare = BackendWrapper(MemoryBackend("bare"))
    bare.journal = None
    with pytest.raises(InvalidSettingError, match="needs a journal"):
        create_resumable_stream_context(backend=bare, options=Options(durability="async"))
