"""The promises about producers: one at a time, fenced when superseded, stopped when told to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from resumable_stream import CancelResult, Options, StreamState
from resumable_stream.errors import (
    StreamCancelledError,
    StreamExistsError,
    StreamSupersededError,
)
from resumable_stream_conformance._faulty import FaultyBackend
from resumable_stream_conformance._stage import (
    CHUNKS,
    LEASE,
    SLACK,
    Source,
    Stage,
    read,
    read_to_error,
    read_until,
)
from resumable_stream_conformance._suite import rule

if TYPE_CHECKING:
    from resumable_stream_conformance._stage import ObservedInstance

HALF = 30
ORPHAN = str(5 << 20)


class ProducerLaws(Stage):
    """P5, P9: who produces, and who stops it."""

    @rule("P5", within=60)
    async def test_contenders_start_one_source(self) -> None:
        """Any number of concurrent starts, on any instances, run the source once."""
        instances = await self.instances(4)
        for turn in range(8):
            source = Source(pause=0.0)
            streams = await asyncio.gather(
                *(i.context.resumable_stream(f"contended {turn}", source) for i in instances * 4)
            )
            for stream in streams:
                # None: the stream was over before this contender looked.
                assert stream is None or "".join(await read(stream)) == source.text
            assert source.runs == 1

    @rule("P5")
    async def test_taken_id_is_refused(self) -> None:
        """``create_new_resumable_stream`` refuses an id that runs or has run, anywhere."""
        here, there = await self.instances(2)
        source = Source(hold_at=HALF)
        stream = await here.context.create_new_resumable_stream("stream", source)
        for instance in (here, there):
            with pytest.raises(StreamExistsError):
                await instance.context.create_new_resumable_stream("stream", source)
        source.go.set()
        await read(stream)
        for instance in (here, there):
            with pytest.raises(StreamExistsError):
                await instance.context.create_new_resumable_stream("stream", source)
        assert source.runs == 1

    @rule("P5")
    async def test_new_streams_race_for_one_id(self) -> None:
        """One of concurrent ``create_new_resumable_stream`` calls starts, others are refused."""
        instances = await self.instances(4)
        source = Source(hold_at=HALF)
        results = await asyncio.gather(
            *(i.context.create_new_resumable_stream("stream", source) for i in instances * 2),
            return_exceptions=True,
        )
        refused = [result for result in results if isinstance(result, StreamExistsError)]
        assert (len(refused), source.runs) == (7, 1)

    @rule("P5", within=60)
    async def test_superseded_producer_is_fenced(self) -> None:
        """A producer that lost its claim stops, tells its readers, and touches nothing more."""
        cut = FaultyBackend(await self.connect())
        zombie, heir = await self.instance(cut), await self.instance()
        stale = Source(["old ", "old ", "older"], hold_at=2)
        stranded = await zombie.start(stale)
        await stale.reached.wait()
        cut.cut_off()
        await _until_gone(heir, self.sentinel)
        fresh = Source(hold_at=HALF)
        followed = await heir.start(fresh)
        await fresh.reached.wait()
        claim = await heir.backend.get(self.sentinel)
        cut.restore()
        chunks, _ = await read_to_error(stranded, StreamSupersededError)
        assert chunks == ["old ", "old "]
        await asyncio.wait_for(stale.closed.wait(), SLACK)
        assert await heir.backend.get(self.sentinel) == claim
        joined = await zombie.start(stale)
        fresh.go.set()
        for reader in (followed, joined):
            assert "".join(await read(reader)) == fresh.text
        await zombie.until_over(StreamState.COMPLETED)
        assert (stale.runs, fresh.runs) == (1, 1)

    @rule("P5", within=60)
    async def test_superseded_end_marks_nothing(self) -> None:
        """A source that ended while its claim was lost does not end its successor's stream."""
        cut = FaultyBackend(await self.connect())
        zombie, heir = await self.instance(cut), await self.instance()
        stale = Source(["old ", "old ", "older"], hold_at=2)
        await zombie.start(stale)
        await stale.reached.wait()
        cut.cut_off()
        stale.go.set()
        await stale.closed.wait()
        await _until_gone(heir, self.sentinel)
        fresh = Source(hold_at=HALF)
        followed = await heir.start(fresh)
        await fresh.reached.wait()
        cut.restore()
        # Longer than a lease, and than the zombie needs to try.
        await asyncio.sleep(LEASE + 1)
        assert (await heir.context.stream_status("stream")).state is StreamState.ACTIVE
        fresh.go.set()
        assert "".join(await read(followed)) == fresh.text
        await zombie.until_over(StreamState.COMPLETED)

    @rule("P9")
    async def test_cancel_stops_the_source(self) -> None:
        """``cancel_stream`` on any instance closes the source before it returns."""
        here, there = await self.instances(2)
        for stream_id, instance in (("one", here), ("two", there)):
            source = Source(hold_at=HALF)
            stream = await here.context.resumable_stream(stream_id, source)
            assert stream is not None
            await source.reached.wait()
            answer = await instance.context.cancel_stream(stream_id)
            assert answer is CancelResult.CANCELLED
            assert source.closed.is_set()
            await read_to_error(stream, StreamCancelledError)

    @rule("P9")
    async def test_cancel_tells_what_happened(self) -> None:
        """``cancel_stream`` says what happened: already over, not found, or nobody answered."""
        here, there = await self.instances(2, handshake_timeout=1.0)
        stream = await here.start(Source())
        await read(stream)
        for instance in (here, there):
            await _until_done(instance, self.sentinel)
            assert await instance.context.cancel_stream("stream") is CancelResult.ALREADY_OVER
            assert await instance.context.cancel_stream("nobody's") is CancelResult.NOT_FOUND
        await there.backend.set(self.sentinel + "2", ORPHAN, ttl=60)
        # Else it is as long as a producer may take over closing its source, and over its end.
        with mock.patch.object(Options, "cancel_timeout", LEASE):
            answer = await there.context.cancel_stream("stream2")
        assert answer is CancelResult.NO_PRODUCER_ANSWERED

    @rule("P9")
    async def test_cancel_twice_is_already_over(self) -> None:
        """Of two overlapping cancels at least one reports cancelled, the other perhaps over."""
        here, there = await self.instances(2)
        source = Source(hold_at=HALF)
        await here.start(source)
        await source.reached.wait()
        answers = await asyncio.gather(*(i.context.cancel_stream("stream") for i in (here, there)))
        assert CancelResult.CANCELLED in answers
        assert set(answers) <= {CancelResult.CANCELLED, CancelResult.ALREADY_OVER}
        assert source.runs == 1

    @rule("P9", within=60)
    async def test_cancel_races_the_start(self) -> None:
        """A cancel that races the start either stops the stream or truthfully finds none."""
        here, there = await self.instances(2)
        for turn in range(30):
            stream_id = f"raced {turn}"
            source = Source(hold_at=HALF)
            starting = asyncio.ensure_future(here.context.resumable_stream(stream_id, source))
            for _ in range(turn):
                await asyncio.sleep(0)
            answer = await there.context.cancel_stream(stream_id)
            if answer is CancelResult.NOT_FOUND:
                await starting
                answer = await there.context.cancel_stream(stream_id)
            assert answer is CancelResult.CANCELLED
            assert source.closed.is_set() or source.runs == 0 or not source.reached.is_set()
            try:
                stream = await starting
            except StreamCancelledError:
                continue
            assert stream is not None
            await read_to_error(stream, StreamCancelledError)

    @rule("P9", "P3")
    async def test_cancel_keeps_text_readable(self) -> None:
        """A remote reader gets all text from before the cancel, and then learns of the cancel."""
        here, there = await self.instances(2)
        source = Source(hold_at=HALF)
        await here.start(source)
        reader = await there.resume()
        await read_until(reader, "".join(CHUNKS[:HALF]))
        await here.context.cancel_stream("stream")
        chunks, _ = await read_to_error(reader, StreamCancelledError)
        assert chunks == []


async def _until_gone(instance: ObservedInstance, key: str) -> None:
    async with asyncio.timeout(LEASE + 2 * SLACK):
        while await instance.backend.get(key) is not None:  # noqa: ASYNC110 - a key has no event
            await asyncio.sleep(0.02)


async def _until_done(instance: ObservedInstance, key: str) -> None:
    async with asyncio.timeout(SLACK):
        while await instance.backend.get(key) != "DONE":  # noqa: ASYNC110 - a key has no event
            await asyncio.sleep(0.02)
