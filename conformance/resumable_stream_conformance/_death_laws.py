"""The promises about a producer that dies, or stands still, while its text is being kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING

import pytest

from resumable_stream import NOT_FOUND, DeleteResult, StreamState
from resumable_stream.errors import ProducerLostError
from resumable_stream_conformance._faults import Fault, FaultPlan
from resumable_stream_conformance._faulty import FaultyBackend
from resumable_stream_conformance._stage import (
    CHUNKS,
    Source,
    Stage,
    read,
    read_to_error,
    read_until,
    units,
    until,
)
from resumable_stream_conformance._suite import rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream import ResumableStream
    from resumable_stream_conformance._stage import ObservedInstance

HALF = 30


class DeathLaws(Stage):
    """P1, P3, P4, P5, P12: what is left of a producer, and who may write."""

    @rule("P3", "P4", "P12", needs="journal", within=60)
    async def test_dead_producer_leaves_what_was_written(self) -> None:
        """Readers of a producer that died get what it has written, and then that it is lost."""
        _, dying, source = await self._written()
        there = await self.instance()
        attached = await there.resume()
        assert await read(attached, HALF) == list(CHUNKS[:HALF])
        dying.cut_off()
        chunks, error = await read_to_error(attached, ProducerLostError)
        assert (chunks, error.offset) == ([], units(source.before(HALF)))
        await there.until_over(StreamState.LOST)
        place = attached.last_event_id
        for instance in (there, await self.instance()):
            chunks, error = await read_to_error(await instance.resume(), ProducerLostError)
            assert (chunks, error.offset) == (list(CHUNKS[:HALF]), units(source.before(HALF)))
            last = await instance.resume(last_event_id=place)
            assert (await read_to_error(last, ProducerLostError))[0] == []

    @rule("P1", "P3", "P12", needs="journal", within=60)
    async def test_attached_reader_goes_on_in_the_journal(self) -> None:
        """A reader that is to be told that its producer is lost first gets what it has missed."""
        here, dying, source = await self._written()
        there = await self.instance()
        attached = await there.resume()
        assert await read(attached, HALF) == list(CHUNKS[:HALF])
        # The rest and its end are written, and nobody hears of them.
        dying.plan = FaultPlan(odds={Fault.DROP: 1.0})
        await self._writes(here, source.go.set)
        dying.cut_off()
        assert await read(attached) == list(CHUNKS[HALF:])

    @rule("P5", "P12", needs="journal", within=60)
    async def test_dead_producer_is_not_replaced(self) -> None:
        """Who starts a stream whose producer died gets its text; the source is not run again."""
        _, dying, _ = await self._written()
        there, other = await self.instances(2, durability="async")
        dying.cut_off()
        await there.until_over(StreamState.LOST)
        again = Source(("another",))
        for instance in (there, other, there):
            chunks, _ = await read_to_error(await instance.start(again), ProducerLostError)
            assert chunks == list(CHUNKS[:HALF])
        assert again.runs == 0
        assert await other.context.delete_stream("stream") is DeleteResult.DELETED
        assert await other.context.resume_existing_stream("stream") is NOT_FOUND
        assert await read(await there.start(again)) == ["another"]
        assert again.runs == 1

    @rule("P5", "P12", needs="journal", within=60)
    async def test_producer_that_wakes_up_is_fenced(self) -> None:
        """A producer whose log was ended by another writes nothing more that anybody reads."""
        here, sleeping, source = await self._written()
        there = await self.instance(durability="async")
        sleeping.cut_off()
        await there.until_over(StreamState.LOST)
        await read_to_error(await there.start(Source()), ProducerLostError)
        source.go.set()
        await source.closed.wait()
        sleeping.restore()
        await until(lambda: not here.backend.live_subscriptions, "the producer gives up")
        for instance in (there, await self.instance()):
            chunks, _ = await read_to_error(await instance.resume(), ProducerLostError)
            assert chunks == list(CHUNKS[:HALF])
            assert (await instance.context.stream_status("stream")).state is StreamState.LOST

    @rule("P5", needs="journal", within=60)
    async def test_nothing_is_kept_of_a_death_before_the_end(self) -> None:
        """With ``"exit"`` a producer that died before the end leaves nothing but a free id."""
        dying = FaultyBackend(await self.connect())
        here, there = await self.instance(dying, durability="exit"), await self.instance()
        source = Source(hold_at=HALF)
        await here.start(source)
        await source.reached.wait()
        dying.cut_off()
        await there.until_over(StreamState.NOT_FOUND)
        assert await there.context.resume_existing_stream("stream") is NOT_FOUND

    @rule("P6", "P12", needs="journal")
    async def test_readers_of_a_sync_stream_get_what_is_written(self) -> None:
        """With ``"sync"`` no reader gets text while the journal does not take it."""
        flaky = FaultyBackend(await self.connect())
        here, there = await self.instance(flaky, durability="sync"), await self.instance()
        source = Source(hold_at=HALF)
        readers = [await here.start(source), await there.resume(0)]
        for reader in readers:
            await read_until(reader, source.before(HALF))
        journal = flaky.journal
        assert journal is not None
        journal.cut_off()
        calls = journal.operations
        source.go.set()
        await until(lambda: journal.operations > calls, "the producer tries to write")
        for reader in readers:
            await self._gets_nothing(reader)
        journal.restore()
        for reader in readers:
            assert await read(reader) == list(CHUNKS[HALF:])

    async def _written(self) -> tuple[ObservedInstance, FaultyBackend, Source]:
        """Produce half of a text on an instance that can be cut off, and have it written."""
        backend = FaultyBackend(await self.connect())
        here = await self.instance(backend, durability="async")
        source = Source(hold_at=HALF)
        await self._writes(here, partial(here.start, source))
        return here, backend, source

    async def _writes(self, here: ObservedInstance, act: Callable[[], object]) -> None:
        """Wait until a record is written after something was done."""
        journal = here.backend.journal
        assert journal is not None
        before = journal.bytes_appended
        if isinstance(doing := act(), Awaitable):
            await doing
        await until(lambda: journal.bytes_appended > before, "a record is written")

    async def _gets_nothing(self, reader: ResumableStream) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(reader), 0.3)
