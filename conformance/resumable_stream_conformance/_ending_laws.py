"""The promises about endings: every reader learns the same true one, within a bounded time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from resumable_stream import NOT_FOUND, StreamState
from resumable_stream.errors import (
    BackendUnavailableError,
    HandshakeTimeoutError,
    ProducerLostError,
    StreamCancelledError,
    StreamFailedError,
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
    units,
)
from resumable_stream_conformance._suite import rule

if TYPE_CHECKING:
    from resumable_stream import ResumableStream
    from resumable_stream_conformance._stage import ObservedInstance

HALF = 30
# A sentinel of a generation that nobody produces.
ORPHAN = str(5 << 20)


class EndingLaws(Stage):
    """P3, P4: how streams end."""

    @rule("P3")
    async def test_completed_for_every_reader(self) -> None:
        """A completed stream ends normally for its readers, and late callers get None."""
        here, there, _, readers = await self._cast(source := Source(hold_at=HALF))
        source.go.set()
        for reader in readers:
            assert "".join(await read(reader)) == source.text
        for instance in (here, there):
            await instance.until_over(StreamState.COMPLETED)
            assert await instance.context.resumable_stream("stream", source) is None
            assert await instance.context.resume_existing_stream("stream") is None
            assert await instance.context.has_existing_stream("stream") == "DONE"
        assert source.runs == 1

    @rule("P3")
    async def test_failed_for_every_reader(self) -> None:
        """Readers of a failed source get all that it yielded, then its error's type and message."""
        source = Source(CHUNKS[:HALF], hold_at=HALF, error=KeyError("no such model"))
        here, there, local, readers = await self._cast(source)
        source.go.set()
        for reader in readers:
            chunks, error = await read_to_error(reader, StreamFailedError)
            assert "".join(chunks) == source.text
            assert error.error_type == "KeyError"
            assert error.error_message == "'no such model'"
            if reader is local:
                assert isinstance(error.__cause__, KeyError)
        for instance in (here, there):
            await instance.until_over(StreamState.FAILED)
            await _late_callers_get(instance, StreamFailedError)

    @rule("P3")
    async def test_failure_may_be_withheld(self) -> None:
        """With ``disclose_errors=False`` nobody elsewhere learns what the source's error was."""
        source = Source(CHUNKS[:3], hold_at=3, error=KeyError("secret"))
        here = await self.instance(disclose_errors=False)
        there = await self.instance()
        await here.start(source)
        remote = await there.resume()
        source.go.set()
        _, error = await read_to_error(remote, StreamFailedError)
        assert (error.error_type, error.error_message) == (None, None)
        assert "secret" not in str(error)
        await there.until_over(StreamState.FAILED)
        with pytest.raises(StreamFailedError) as late:
            await there.context.resume_existing_stream("stream")
        assert "secret" not in str(late.value)

    @rule("P3")
    async def test_failing_at_once_is_failed(self) -> None:
        """A source that raises before its first chunk has failed, for local and remote readers."""
        here, there, _, readers = await self._cast(
            source := Source((), hold_at=0, error=OSError("down"))
        )
        source.go.set()
        for reader in readers:
            chunks, error = await read_to_error(reader, StreamFailedError)
            assert chunks == []
            assert error.error_type == "OSError"
        for instance in (here, there):
            await instance.until_over(StreamState.FAILED)

    @rule("P3", "P9")
    async def test_cancelled_for_every_reader(self) -> None:
        """A cancelled stream's readers, early and late, get ``StreamCancelledError``."""
        here, there, _, readers = await self._cast(Source(hold_at=HALF))
        await there.context.cancel_stream("stream")
        for reader in readers:
            chunks, _ = await read_to_error(reader, StreamCancelledError)
            assert "".join(CHUNKS[:HALF]).startswith("".join(chunks))
        for instance in (here, there):
            await instance.until_over(StreamState.CANCELLED)
            await _late_callers_get(instance, StreamCancelledError)

    @rule("P3")
    async def test_lost_for_every_reader(self) -> None:
        """The readers of a producer that is shut down learn that it is lost, and where they are."""
        here, there, local, readers = await self._cast(source := Source(hold_at=HALF))
        for reader in readers:
            await read_until(reader, source.before(HALF))
        await here.context.aclose(drain_timeout=0.0)
        for reader in readers:
            chunks, error = await read_to_error(reader, ProducerLostError)
            assert chunks == []
            assert error.offset == reader.offset == units(source.before(HALF))
        assert local is readers[0]
        assert source.closed.is_set()
        await there.until_over(StreamState.LOST)
        await _late_callers_get(there, ProducerLostError)

    @rule("P3")
    async def test_drained_stream_completes(self) -> None:
        """A context that is closed lets its producers finish first, and remote readers learn it."""
        here, there, _, readers = await self._cast(source := Source(hold_at=HALF))
        closing = asyncio.ensure_future(here.context.aclose(drain_timeout=20.0))
        await asyncio.sleep(0.05)
        assert not closing.done()
        source.go.set()
        assert "".join(await read(readers[1])) == source.text
        await closing
        await there.until_over(StreamState.COMPLETED)

    @rule("P3")
    async def test_unknown_stream_is_not_found(self) -> None:
        """A stream that nobody started is not found: the answer is a false value."""
        here = await self.instance()
        found = await here.context.resume_existing_stream("stream")
        assert found is NOT_FOUND
        assert not found
        assert await here.context.has_existing_stream("stream") is None
        assert (await here.context.stream_status("stream")).state is StreamState.NOT_FOUND

    @rule("P3", "P4", within=40)
    async def test_dead_producer_is_reported(self) -> None:
        """A producer that died is reported within a lease, with the reader's offset."""
        dying = FaultyBackend(await self.connect())
        here, there = await self.instance(dying), await self.instance()
        source = Source(hold_at=HALF)
        await here.start(source)
        await source.reached.wait()
        reader = await there.resume()
        await read_until(reader, source.before(HALF))
        dying.cut_off()
        died = time.monotonic()
        chunks, error = await read_to_error(reader, ProducerLostError)
        assert time.monotonic() - died < LEASE + SLACK
        assert chunks == []
        assert error.offset == units(source.before(HALF))
        await there.until_over(StreamState.NOT_FOUND)

    @rule("P4")
    async def test_unanswered_handshake_times_out(self) -> None:
        """Attaching fails in time if a stream is marked active and nobody answers."""
        there = await self.instance(handshake_timeout=1.0)
        await there.backend.set(self.sentinel, ORPHAN, ttl=60)
        began = time.monotonic()
        with pytest.raises(HandshakeTimeoutError):
            await there.context.resume_existing_stream("stream", 7)
        assert 0.5 < time.monotonic() - began < 1.0 + SLACK

    @rule("P4")
    async def test_long_outage_ends_remote_readers(self) -> None:
        """If the broker is away for longer than the outage timeout, remote readers learn that."""
        flaky = FaultyBackend(await self.connect())
        here, there = await self.instance(), await self.instance(flaky, outage_timeout=1.0)
        source = Source(hold_at=HALF)
        await here.start(source)
        await source.reached.wait()
        reader = await there.resume()
        await read_until(reader, source.before(HALF))
        flaky.cut_off()
        cut = time.monotonic()
        await read_to_error(reader, BackendUnavailableError)
        assert time.monotonic() - cut < LEASE + 1.0 + SLACK

    @rule("P4")
    async def test_calls_without_broker_fail_in_time(self) -> None:
        """With the broker away every call that needs it raises ``BackendUnavailableError``."""
        away = FaultyBackend(await self.connect())
        here = await self.instance(away, handshake_timeout=1.0)
        away.cut_off()
        began = time.monotonic()
        for call in (
            lambda: here.context.resumable_stream("stream", Source()),
            lambda: here.context.resume_existing_stream("stream"),
            lambda: here.context.has_existing_stream("stream"),
            lambda: here.context.cancel_stream("stream"),
        ):
            with pytest.raises(BackendUnavailableError):
                await call()
        assert time.monotonic() - began < 4 * (1.0 + SLACK)

    async def _cast(
        self, source: Source
    ) -> tuple[ObservedInstance, ObservedInstance, ResumableStream, list[ResumableStream]]:
        """Start the source here; return a local reader, and one each here and there."""
        here, there = await self.instances(2)
        local = await here.start(source)
        await source.reached.wait()
        return here, there, local, [local, await there.resume(), await here.resume()]


async def _late_callers_get(instance: ObservedInstance, error: type[Exception]) -> None:
    source = Source()
    with pytest.raises(error):
        await instance.context.resume_existing_stream("stream")
    with pytest.raises(error):
        await instance.context.resumable_stream("stream", source)
    assert source.runs == 0
