"""The promises about the grace: a reader that was cut just before the end gets the rest."""

from __future__ import annotations

import asyncio

from resumable_stream import NOT_FOUND, DeleteResult, StreamState
from resumable_stream.errors import StreamFailedError
from resumable_stream_conformance._stage import (
    CHUNKS,
    LEASE,
    PATIENCE,
    Source,
    Stage,
    read,
    read_to_error,
    until,
)
from resumable_stream_conformance._suite import rule

HALF = 30


class GraceLaws(Stage):
    """P1, P3, P10: what is served after the end, and for how long."""

    @rule("P1", "P3")
    async def test_reader_cut_before_the_end_gets_the_rest(self) -> None:
        """After the end a caller that names a place gets the rest, anywhere; others get None."""
        here, there = await self.instances(2)
        source = Source(hold_at=HALF)
        cut = await here.start(source)
        await read(cut, HALF)
        source.go.set()
        await here.until_over(StreamState.COMPLETED)
        for instance in (here, there):
            assert await read(await instance.resume(last_event_id=cut.last_event_id)) == list(
                CHUNKS[HALF:]
            )
            assert "".join(await read(await instance.resume(0))) == source.text
            assert await instance.context.resume_existing_stream("stream") is None
        assert source.runs == 1

    @rule("P3")
    async def test_failure_comes_after_the_missed_text(self) -> None:
        """A reader that comes back after a failure gets the text it missed, then the failure."""
        here, there = await self.instances(2)
        source = Source(CHUNKS[:HALF], error=KeyError("no such model"))
        await here.start(source)
        await there.until_over(StreamState.FAILED)
        for instance in (here, there):
            chunks, _ = await read_to_error(await instance.resume(0), StreamFailedError)
            assert "".join(chunks) == source.text

    @rule("P10", within=60)
    async def test_grace_ends(self) -> None:
        """After its grace a stream is over for everybody, and leaves no subscription."""
        here, there = await self.instances(2, grace=0.5, handshake_timeout=0.5)
        await read(await here.start(Source()))
        await until(lambda: not here.backend.live_subscriptions, "the stream is let go")
        for instance in (here, there):
            assert await instance.context.resume_existing_stream("stream", 0) is None
        await until(lambda: not there.backend.live_subscriptions, "the reader has left")

    @rule("P3", "P10")
    async def test_deleted_stream_is_served_by_nobody(self) -> None:
        """A producer that is still there for its grace forgets a text that another erases."""
        here, there = await self.instances(2, grace=60)
        await read(await here.start(Source()))
        await here.until_over(StreamState.COMPLETED)
        assert await read(await there.resume(0)) == list(CHUNKS)
        assert here.backend.live_subscriptions
        assert await there.context.delete_stream("stream") is DeleteResult.DELETED
        for instance in (here, there):
            assert await instance.context.resume_existing_stream("stream", 0) is NOT_FOUND
        await until(lambda: not here.backend.live_subscriptions, "the producer lets the text go")

    @rule("P4", "P10")
    async def test_close_does_not_wait_for_a_grace(self) -> None:
        """A closed context serves nobody any more, and callers elsewhere learn that in time."""
        here, there = await self.instances(2)
        await read(await here.start(Source()))
        await here.until_over(StreamState.COMPLETED)
        async with asyncio.timeout(PATIENCE):
            await here.context.aclose()
            assert not here.backend.live_subscriptions
            async with asyncio.timeout(LEASE + PATIENCE / 2):
                assert await there.context.resume_existing_stream("stream", 0) is None
