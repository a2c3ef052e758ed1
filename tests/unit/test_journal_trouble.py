"""A journal that is away, forgets or answers late, and a producer that is not alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resumable_stream import (
    AccessDeniedError,
    ProducerLostError,
    StreamFailedError,
    StreamState,
)
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.records import encode_record
from resumable_stream._protocol.sentinel import Running
from support.journals import generation, journaled, kept, outcome
from support.virtual_time import in_virtual_time
from support.world import ID, OUTCOME, SENTINEL, Source, data_frame, rest, world


@pytest.mark.rule("JNL-4", "P4")
@in_virtual_time
async def test_a_sync_stream_fails_when_its_journal_stays_away() -> None:
    async with world() as here:
        context, _, notebook = journaled(here, "sync", outage_timeout=20)
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        assert await anext(stream) == "a"
        notebook.away = True
        source.put("b")
        with pytest.raises(StreamFailedError, match="away for 20 s") as caught:
            await asyncio.wait_for(rest(stream), 25)
        assert caught.value.error_type == "BackendUnavailableError"
        await asyncio.sleep(30)
        assert source.closed
        assert not (await outcome(here)).kept_until


@pytest.mark.rule("JNL-4", "P3")
@pytest.mark.parametrize("durability", ["exit", "async"])
@in_virtual_time
async def test_an_ending_does_not_wait_long_for_a_journal_that_is_away(durability: str) -> None:
    async with world() as here:
        context, _, notebook = journaled(here, durability)
        notebook.away = True
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        source.finish()
        assert await rest(stream) == ["a"]
        await asyncio.sleep(6)
        assert await here.sentinel() == "DONE"
        found = await outcome(here)
        assert found.ending.status == "completed"
        assert not found.kept_until
        assert await context.resume_existing_stream(ID) is None
        assert (await context.stream_status(ID)).kept_until is None


@pytest.mark.rule("JNL-2")
@in_virtual_time
async def test_text_waits_for_a_journal_that_comes_back() -> None:
    async with world() as here:
        context, _, notebook = journaled(here, "async")
        notebook.away = True
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        run = await generation(here)
        await asyncio.sleep(30)
        source.put("b")
        await asyncio.sleep(5)
        notebook.away = False
        await asyncio.sleep(3)
        assert "".join((await kept(here, run))[0]) == "ab"
        source.finish()
        assert await rest(stream) == ["a", "b"]


@pytest.mark.rule("JNL-2")
@pytest.mark.parametrize("trouble", ["lose_replies", "lose_writes"])
@in_virtual_time
async def test_a_write_of_unknown_outcome_is_written_once(trouble: str) -> None:
    async with world() as here:
        context, _, notebook = journaled(here, "sync")
        source = Source()
        stream = await context.create_new_resumable_stream(ID, source)
        run = await generation(here)
        for chunk in "abcdefgh":
            setattr(notebook, trouble, 2)
            source.put(chunk)
            assert await anext(stream) == chunk
        source.finish()
        assert await rest(stream) == []
        await asyncio.sleep(1)
        assert await kept(here, run) == (list("abcdefgh"), ["completed"])


@pytest.mark.rule("JNL-2")
@pytest.mark.parametrize("durability", ["async", "sync"])
@in_virtual_time
async def test_a_journal_that_lost_its_text_gets_it_again(durability: str) -> None:
    async with world() as here:
        context, _, notebook = journaled(here, durability)
        source = Source("a", "b")
        stream = await context.create_new_resumable_stream(ID, source)
        run = await generation(here)
        await asyncio.sleep(3)
        source.put("c")
        await asyncio.sleep(3)
        notebook._open_bus().logs.delete(f"resumable-stream:rs:journal:{run}:{ID}")
        source.put("d")
        await asyncio.sleep(3)
        source.finish()
        assert await rest(stream) == list("abcd")
        await asyncio.sleep(1)
        texts, ends = await kept(here, run)
        assert ("".join(texts), ends) == ("abcd", ["completed"])
        assert (await outcome(here)).kept_until


@in_virtual_time
async def test_text_that_the_journal_has_lost_does_not_count_towards_its_limit() -> None:
    async with world() as here:
        context, _, notebook = journaled(here, "async", journal_limit=600)
        source = Source("a", "b")
        stream = await context.create_new_resumable_stream(ID, source)
        run = await generation(here)
        for chunk in "cdef":
            await asyncio.sleep(3)
            notebook._open_bus().logs.delete(f"resumable-stream:rs:journal:{run}:{ID}")
            source.put(chunk)
        await asyncio.sleep(3)
        source.finish()
        assert await rest(stream) == list("abcdef")
        await asyncio.sleep(1)
        assert (await outcome(here)).kept_until


@in_virtual_time
async def test_a_journal_that_forbids_it_is_not_asked_again() -> None:
    async with world() as here:
        context, _, notebook = journaled(here, "async")
        notebook.away, notebook.error = True, AccessDeniedError("no right to append")
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        await asyncio.sleep(5)
        calls = notebook.calls
        source.put("b")
        await asyncio.sleep(60)
        source.finish()
        assert await rest(stream) == ["a", "b"]
        await asyncio.sleep(1)
        assert notebook.calls == calls == 1
        assert not (await outcome(here)).kept_until


@in_virtual_time
async def test_a_journal_that_refuses_what_is_next_is_given_up() -> None:
    async with world() as here:
        context, _, notebook = journaled(here, "async")

        async def refuse(log: str, index: int, record: bytes, *, ttl: int) -> bool:
            notebook.calls += 1
            return False

        notebook.append = refuse  # type: ignore[method-assign]
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        await asyncio.sleep(60)
        assert notebook.calls < 40
        source.finish()
        assert await rest(stream) == ["a"]
        await asyncio.sleep(1)
        assert not (await outcome(here)).kept_until


@pytest.mark.rule("P5", "JNL-5")
@pytest.mark.parametrize("durability", ["async", "sync"])
@in_virtual_time
async def test_a_producer_that_finds_a_seal_is_superseded(durability: str) -> None:
    async with world() as here:
        context, broker, notebook = journaled(here, durability)
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        run = await generation(here)
        assert await anext(stream) == "a"
        await asyncio.sleep(2)
        # It is paused, as far as the broker sees, and its lease runs out.
        broker.running.clear()
        notebook.away = True
        await here.raw.delete(SENTINEL)
        other, _, _ = journaled(here, durability)
        second = Source("never")
        found: Any = await other.resumable_stream(ID, second)
        with pytest.raises(ProducerLostError):
            await rest(found)
        assert second.calls == 0
        notebook.away = False
        source.put("b")
        with pytest.raises(ProducerLostError):
            await asyncio.wait_for(rest(stream), 60)
        broker.running.set()
        await asyncio.sleep(30)
        assert await kept(here, run) == (["a"], ["lost"])
        assert (await outcome(here)).ending.status == "lost"


@pytest.mark.rule("JNL-5", "P3")
@in_virtual_time
async def test_a_run_that_was_buried_records_no_other_end() -> None:
    async with world() as here:
        context, broker, notebook = journaled(here, "async")
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        assert await anext(stream) == "a"
        await asyncio.sleep(2)
        other, _, _ = journaled(here, "async")
        attached: Any = await other.resume_existing_stream(ID)
        assert await anext(attached) == "a"
        broker.away = notebook.away = True
        await here.raw.delete(SENTINEL)
        with pytest.raises(ProducerLostError):
            await rest(await other.resumable_stream(ID, Source()))
        source.finish()  # while nobody can be told
        await asyncio.sleep(1)
        broker.away = notebook.away = False
        await asyncio.sleep(60)
        with pytest.raises(ProducerLostError):
            await rest(attached)
        assert (await context.stream_status(ID)).state is StreamState.LOST


@pytest.mark.rule("JNL-3")
@in_virtual_time
async def test_a_pointer_that_the_broker_lost_is_written_again() -> None:
    async with world() as here:
        context, broker, _ = journaled(here, "async")
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        await asyncio.sleep(2)
        await here.raw.delete(OUTCOME)
        broker.reconnect()
        await asyncio.sleep(2)
        assert Running.decode(await here.raw.get(OUTCOME)) is not None
        source.finish()
        assert await rest(stream) == ["a"]


@pytest.mark.rule("JNL-2", "P5")
@in_virtual_time
async def test_a_record_of_its_own_that_came_late_does_not_supersede_a_producer() -> None:
    async with world() as here:
        context, _, notebook = journaled(here, "async")
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        run = await generation(here)
        await asyncio.sleep(3)
        log = f"resumable-stream:rs:journal:{run}:{ID}"
        late = encode_record(ID, data_frame(Place(1), b"b", generation=run))
        # As if the reply to it were still to come, when the journal lost nothing before it.
        assert await notebook.append(log, 1, late, ttl=60)
        source.put("b", "c")
        await asyncio.sleep(3)
        source.finish()
        assert await rest(stream) == ["a", "b", "c"]
        await asyncio.sleep(1)
        assert (await outcome(here)).kept_until
        other, _, _ = journaled(here, None)
        await context.aclose()
        assert await rest(await other.resume_existing_stream(ID)) == ["a", "b", "c"]


@pytest.mark.rule("JNL-2", "P5")
@in_virtual_time
async def test_it_does_not_do_so_either_where_the_connection_was_lost_meanwhile() -> None:
    async with world() as here:
        context, broker, notebook = journaled(here, "async")
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        run = await generation(here)
        await asyncio.sleep(3)
        late = encode_record(ID, data_frame(Place(1), b"b", generation=run))

        async def meanwhile() -> None:
            notebook.meanwhile = None
            assert await notebook.append(f"resumable-stream:rs:journal:{run}:{ID}", 1, late, ttl=60)
            broker.reconnect()

        notebook.meanwhile = meanwhile
        source.put("b", "c")
        await asyncio.sleep(5)
        source.put("d")
        source.finish()
        assert await rest(stream) == ["a", "b", "c", "d"]
        await asyncio.sleep(1)
        texts, ends = await kept(here, run)
        assert ("".join(texts), ends) == ("abcd", ["completed"])
