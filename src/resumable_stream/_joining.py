"""Reading a stream wherever it is: here, elsewhere, or in the journal."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING

from resumable_stream._finding import Here
from resumable_stream._protocol.places import EventId, Start
from resumable_stream._protocol.sentinel import left_in
from resumable_stream._protocol.whereabouts import Elsewhere, Left, Over, Unknown
from resumable_stream._reading.fallback import Fallback
from resumable_stream._reading.local import LocalReader
from resumable_stream._stream import NOT_FOUND, NotFound, ResumableStream
from resumable_stream._text.endings import error_of
from resumable_stream.errors import (
    HandshakeTimeoutError,
    InvalidEventIdError,
    OffsetOutOfRangeError,
    ProducerLostError,
    ResumableStreamError,
    StreamHistoryChangedError,
)

if TYPE_CHECKING:
    from resumable_stream._continuing import Continuation
    from resumable_stream._finding import Finding
    from resumable_stream._producing.kept import Kept
    from resumable_stream._producing.producer import Producer
    from resumable_stream._protocol.sentinel import Outcome, Running
    from resumable_stream._reading.remote import RemoteReader
    from resumable_stream._reading.runs import RunReader
    from resumable_stream._replaying import Replaying
    from resumable_stream._shared import Shared
    from resumable_stream._stream import Reader
    from resumable_stream._text.endings import Ending

_PAUSE = 0.05
# Its log may have what a producer refuses: text it has trimmed, or, with "sync", just written.
_REFUSED = (InvalidEventIdError, OffsetOutOfRangeError)


class Joining:
    """Finds and reads the streams of one instance.

    Args:
        kept: its producers that are over, and still serve.
    """

    def __init__(self, shared: Shared, kept: Kept, finding: Finding, replaying: Replaying) -> None:
        self._shared = shared
        self._kept = kept
        self._finding = finding
        self._replaying = replaying
        self._loop = asyncio.get_running_loop()

    async def join(
        self,
        stream_id: str,
        start: Start,
        *,
        replay: bool = True,
        continuation: Continuation | None = None,
    ) -> ResumableStream | NotFound | None:
        """Read a stream wherever it is; look it up again if that changes meanwhile.

        With ``replay``, one that is over is read from the journal, if it is kept there. One that
        the caller continues is not found.
        """
        deadline: float | None = None  # once the stream was no longer where it had been
        wanted = start.event_id.generation if start.event_id else None
        while True:
            where = await self._finding.look_up(stream_id, wanted)
            if continuation is not None and continuation.continues(where):
                return NOT_FOUND
            match where:
                case Here(producer):
                    return await self.join_here(producer, start, replay=replay)
                case Elsewhere(generation):
                    now, patience = self._loop.time(), self._shared.options.handshake_timeout
                    if deadline is not None and now > deadline:
                        raise HandshakeTimeoutError(stream_id, start.offset, patience)
                    joined = await self._join_elsewhere(stream_id, generation, start)
                    if joined is not None:
                        return joined
                    # Whoever has it now is asked at least once.
                    deadline = deadline or self._loop.time() + patience
                    await asyncio.sleep(_PAUSE)
                case Over() as over:
                    return await self._join_ended(stream_id, over, start, replay=replay)
                case Left(run):
                    return await self._join_left(stream_id, run, start, replay=replay)
                case Unknown():
                    return NOT_FOUND

    def read(self, producer: Producer, start: Start) -> ResumableStream:
        """Read what is produced here."""
        return self._held(producer.stream_id, self._beside(producer, start))

    def _beside(self, producer: Producer, start: Start) -> LocalReader:
        reader = LocalReader(producer, start, self._shared.options.unit)
        if producer.is_journaled:
            reader.fallback = self._fallback(producer.stream_id, producer.generation)
        return reader

    async def join_here(
        self, producer: Producer, start: Start, *, replay: bool = True
    ) -> ResumableStream | None:
        """Read what is produced here; if it is over, only what is kept or a place in the grace."""
        ending, stream_id = producer.log.ending, producer.stream_id
        if start.event_id and producer.lineage.end_of(start.event_id.generation) is not None:
            start = producer.lineage.own(stream_id, producer.generation, start)
        if ending is None:
            try:
                return self.read(producer, start)
            except _REFUSED:
                kept = await self._replayed(stream_id, producer.generation, start)
                if kept is None:
                    raise
                return kept
        if self._names_a_place(start, producer.generation):
            with contextlib.suppress(OffsetOutOfRangeError):
                return self.read(producer, start)
        # A caller that learns of the end must find what ``on_end`` stores.
        await asyncio.wait({producer.life.stored})
        if replay and producer.kept_until:
            try:
                return self.read(producer, start)
            except OffsetOutOfRangeError:
                kept = await self._replayed(stream_id, producer.generation, start)
                if kept is not None:
                    return kept
        _raise_unless_completed(stream_id, ending, start)
        return None

    async def _join_elsewhere(
        self, stream_id: str, generation: int | None, start: Start
    ) -> ResumableStream | None:
        """Read a stream that another instance produces; None if it is no longer that one."""
        if generation is None and start.event_id is not None:
            raise StreamHistoryChangedError(stream_id)
        try:
            reader = await self._attached(stream_id, generation, start)
        except (StreamHistoryChangedError, HandshakeTimeoutError) as error:
            if start.event_id is None or start.event_id.generation == generation:
                raise
            left = await self._left_behind(stream_id, start)
            if left is None:
                raise
            error.__traceback__ = None  # as below
            return left
        except _REFUSED as error:
            if generation is None:
                raise
            if start.event_id is not None:  # which it has not refused as another run's
                start = start._replace(event_id=start.event_id._replace(generation=generation))
            kept = await self._replayed(stream_id, generation, start)
            if kept is None:
                raise
            error.__traceback__ = None  # with this frame, it would hold what the caller drops
            return kept
        return None if reader is None else self._held(stream_id, reader)

    async def _attached(
        self, stream_id: str, generation: int | None, start: Start
    ) -> RemoteReader | None:
        reader = await self._finding.attached(stream_id, generation, start)
        if reader is not None and generation is not None and self._shared.journal is not None:
            reader.fallback = self._fallback(stream_id, generation)
        return reader

    async def _join_ended(
        self, stream_id: str, over: Over, start: Start, *, replay: bool
    ) -> ResumableStream | None:
        """Read a stream that is over, or raise its ending; None if it has completed."""
        if over.outcome and over.generation:
            reader = await self._read_ended(stream_id, over.outcome, start, replay=replay)
            if reader is not None:
                return self._held(stream_id, reader)
        _raise_unless_completed(stream_id, over.ending, start)
        return None

    async def _read_ended(
        self, stream_id: str, outcome: Outcome, start: Start, *, replay: bool = True
    ) -> RunReader | None:
        """Read a run that is over, from its producer if that still serves it, or the journal."""
        generation = outcome.generation
        assert generation is not None  # noqa: S101 - for the type checker
        if start.event_id and outcome.lineage.end_of(start.event_id.generation) is not None:
            start = outcome.lineage.own(stream_id, generation, start)
        named = self._names_a_place(start, generation)
        if named and (producer := self._kept.find(stream_id, generation)):
            with contextlib.suppress(OffsetOutOfRangeError):
                return self._beside(producer, start)
        if replay and outcome.kept_until:
            kept = await self._replaying.replay(stream_id, generation, start)
            if kept is not None:
                return kept
        if named and outcome.is_served():
            with contextlib.suppress(HandshakeTimeoutError, OffsetOutOfRangeError):
                return await self._finding.attached(stream_id, generation, start, ended=True)
        return None

    async def _join_left(
        self, stream_id: str, run: Running, start: Start, *, replay: bool
    ) -> ResumableStream:
        """Read what a dead producer has left in the journal."""
        start = run.lineage.own(stream_id, run.generation, start)
        kept = await self._replayed(stream_id, run.generation, start) if replay else None
        if kept is None:
            raise ProducerLostError(stream_id, start.offset)
        return kept

    async def _left_behind(self, stream_id: str, start: Start) -> ResumableStream | None:
        """Read what a dead producer has left, while a claimant may only be recording its end."""
        shared = self._shared
        if shared.journal is not None and start.event_id is not None:
            left = left_in(await shared.backend.get(shared.names.outcome(stream_id)))
            if left is not None and left.generation == start.event_id.generation:
                return await self._replayed(stream_id, start.event_id.generation, start)
        return None

    async def _replayed(
        self, stream_id: str, generation: int, start: Start
    ) -> ResumableStream | None:
        """Read a run from the journal, and what follows from its producer; None if it has none."""
        reader = await self._replaying.replay(stream_id, generation, start)
        return None if reader is None else self._held(stream_id, reader)

    def _fallback(self, stream_id: str, generation: int) -> Fallback:
        read_on = partial(self._replaying.read_on, stream_id, generation)
        return Fallback(read_on, self._shared.options.outage_timeout)

    def _held(self, stream_id: str, reader: RunReader) -> ResumableStream:
        return ResumableStream(reader, self._loop, partial(self.next_run, stream_id))

    async def next_run(
        self, stream_id: str, reader: Reader, *, anew: bool = False
    ) -> RunReader | None:
        """Read on in the run that continues the one whose reader has lost its producer.

        With ``anew``, a reader that has read nothing yet takes any other run.

        Raises:
            StreamHistoryChangedError: it is continued from a place that lies before the reader's.
        """
        if (place := reader.last_event_id) is None:
            return None
        lost = EventId.parse(place)
        fresh = anew and not lost.sequence
        start = Start() if fresh else Start(event_id=lost, named=True)
        try:
            # Not for long: who reads beside its producer does not wait for the broker.
            async with asyncio.timeout(self._shared.options.handshake_timeout):
                return await self._found_next(stream_id, lost.generation, start)
        except StreamHistoryChangedError as error:
            if error.kept is None:
                return None
            raise
        except (ResumableStreamError, TimeoutError):
            return None

    async def _found_next(self, stream_id: str, lost: int, start: Start) -> RunReader | None:
        fresh = start.event_id is None
        match await self._finding.look_up(stream_id, None if fresh else lost):
            case Here(producer) if producer.generation != lost:
                return self._beside(producer, start)
            case Elsewhere(present) if present not in {None, lost}:
                return await self._attached(stream_id, present, start)
            case Over(outcome) if outcome and outcome.generation not in {None, lost}:
                if fresh or outcome.lineage.end_of(lost) is not None:
                    return await self._read_ended(stream_id, outcome, start)
            case Left(run) if run.lineage.end_of(lost) is not None:
                start = run.lineage.own(stream_id, run.generation, start)
                return await self._replaying.replay(stream_id, run.generation, start)
        return None

    def _names_a_place(self, start: Start, generation: int) -> bool:
        """Tell whether a stream that is over may still be served to this caller."""
        if not self._shared.options.grace_period or not start.named:
            return False
        return start.event_id is None or start.event_id.generation == generation


def _raise_unless_completed(stream_id: str, ending: Ending, start: Start) -> None:
    if (error := error_of(stream_id, ending, start.offset)) is not None:
        raise error
