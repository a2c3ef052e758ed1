"""A producer that was taken for dead and does not know it: what it says, and who is beside it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resumable_stream import OutcomeUnknownError, ProducerLostError, StreamSupersededError
from resumable_stream._producing.journal_log import JournalLog, end_in, seal
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.records import encode_record
from resumable_stream._protocol.wire import DataFrame
from resumable_stream._text.endings import Status
from resumable_stream._text.joined import join
from support.journals import Notebook, ending_with, generation, journaled, kept, outcome, produced
from support.virtual_time import in_virtual_time
from support.world import ID, NAMES, SENTINEL, Source, rest, world


@pytest.mark.rule("P1", "JNL-7")
@in_virtual_time
async def test_a_place_in_its_successors_text_is_looked_for_elsewhere() -> None:
    async with world() as here:
        context, broker, _ = journaled(here, "exit")
        source = Source("old")
        await context.create_new_resumable_stream(ID, source)
        broker.keys_away = True
        await here.raw.delete(SENTINEL)
        other, _, _ = journaled(here, "exit")
        stream = await other.create_new_resumable_stream(ID, ending_with("a", "b"))
        assert await anext(stream) == "a"
        place = stream.last_event_id
        assert await rest(stream) == ["b"]
        broker.keys_away = False
        again = await context.resume_existing_stream(ID, last_event_id=place)
        assert await rest(again) == ["b"]
        source.finish()


@pytest.mark.rule("P3", "P5", "JNL-5")
@pytest.mark.parametrize("journal_is_back", [True, False])
@in_virtual_time
async def test_readers_that_wait_for_its_journal_are_told_of_no_other_end(
    *, journal_is_back: bool
) -> None:
    async with world() as here:
        context, broker, notebook = journaled(here, "sync")
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        assert await anext(stream) == "a"
        await asyncio.sleep(1)
        broker.away = notebook.away = True
        source.put("b")
        source.finish()
        await asyncio.sleep(1)
        await here.raw.delete(SENTINEL)
        other, _, _ = journaled(here, "sync")
        sealed: Any = await other.resumable_stream(ID, Source())
        with pytest.raises(ProducerLostError):
            await rest(sealed)
        broker.away, notebook.away = False, not journal_is_back
        with pytest.raises(StreamSupersededError):
            await asyncio.wait_for(rest(stream), 90)


@pytest.mark.rule("P3", "JNL-5")
@pytest.mark.parametrize("durability", ["async", "sync"])
@in_virtual_time
async def test_an_end_of_its_own_that_another_found_in_its_log_is_its_end(durability: str) -> None:
    async with world() as here:
        context, broker, notebook = journaled(here, durability, retention=40)
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        run = await generation(here)
        assert await anext(stream) == "a"
        await asyncio.sleep(2)
        append = notebook.append

        async def untold(*arguments: Any, ttl: int) -> bool:
            await append(*arguments, ttl=ttl)
            broker.away = notebook.away = True
            raise OutcomeUnknownError("executed, but who knows")

        last: Any = untold
        notebook.append = last  # type: ignore[method-assign]
        source.put("b")
        source.finish()
        await asyncio.sleep(1)
        await here.raw.delete(SENTINEL)
        other, _, _ = journaled(here, durability)
        assert await rest(await other.resumable_stream(ID, Source())) == ["a", "b"]
        await asyncio.sleep(20)
        notebook.append = append  # type: ignore[method-assign]
        notebook.away = False
        broker.reconnect()
        assert await rest(stream) == ["b"]
        await asyncio.sleep(5)
        assert await kept(here, run) == (["a", "b"], ["completed"])
        assert (await outcome(here)).ending.status == "completed"


@pytest.mark.rule("P3", "JNL-5")
@in_virtual_time
async def test_a_record_that_comes_late_does_not_hide_the_end() -> None:
    """It can come behind the end if the journal had lost records, which were written again."""
    async with world() as here:
        run = await produced(here, ["a", "b"])
        log = NAMES.journal(ID, run)
        notebook = Notebook(here.bus)
        late = encode_record(ID, DataFrame(run, Place(0), join(["a"]), end=2))
        index = 0
        while records := await notebook.read(log, index, max_bytes=10**6):
            index += len(records)
        assert await notebook.append(log, index, late, ttl=3600)
        journal_log = JournalLog(notebook, log, 3600)
        for find in (end_in, seal):
            end = await find(journal_log, ID, run)
            assert end is not None
            assert (end.end, end.ending.status) == (2, Status.COMPLETED)
