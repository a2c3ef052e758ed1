"""The reader beside the producer: a cursor into the log, which never waits for the broker."""

from __future__ import annotations

import asyncio
from operator import length_hint
from typing import TYPE_CHECKING, Protocol

from resumable_stream._protocol.places import EventId, Start
from resumable_stream._reading.runs import RunReader
from resumable_stream._text.endings import error_of
from resumable_stream._text.log import InsidePairError, Position, TrimmedError
from resumable_stream._text.offsets import Skip, inside_pair
from resumable_stream.errors import (
    InvalidEventIdError,
    OffsetOutOfRangeError,
)

if TYPE_CHECKING:
    from resumable_stream._protocol.lineage import Lineage
    from resumable_stream._reading.fallback import Fallback
    from resumable_stream._text.log import Log
    from resumable_stream._text.offsets import OffsetUnit

# A reader that never finds the log empty gives way to the event loop after this many chunks.
_YIELD_EVERY = 256
# How long a reader waits at the end for its record.
_END_GRACE = 0.1


class Produced(Protocol):
    """What a reader needs of the producer beside it.

    Attributes:
        log: the text that has come.
        settled: done once the end is recorded, or cannot be.
    """

    stream_id: str
    log: Log

    @property
    def generation(self) -> int: ...

    @property
    def lineage(self) -> Lineage: ...

    @property
    def settled(self) -> asyncio.Future[None]: ...


class LocalReader(RunReader):
    """Reads a producer's log.

    Raises, on construction:
        OffsetOutOfRangeError: the text there is no longer buffered.
        InvalidOffsetError: the offset falls inside a surrogate pair.
        InvalidEventIdError: the event id lies beyond the text.
        StreamHistoryChangedError: the event id is another generation's.

    Attributes:
        fallback: what is read once the text is no longer buffered, if anything.
    """

    __slots__ = (
        "_closed",
        "_fallen",
        "_generation",
        "_grace_until",
        "_index",
        "_log",
        "_loop",
        "_producer",
        "_sequence",
        "_skip",
        "_stream_id",
        "fallback",
    )

    def __init__(self, producer: Produced, start: Start, unit: OffsetUnit) -> None:
        super().__init__(start.offset, unit)
        self._stream_id = producer.stream_id
        self._generation = producer.generation
        self._log = producer.log
        self._loop = asyncio.get_running_loop()
        self._producer = producer
        self._closed = False
        self._fallen: OffsetOutOfRangeError | None = None  # once its text was dropped
        self.fallback: Fallback | None = None
        self._grace_until: float | None = None
        start = producer.lineage.own(producer.stream_id, producer.generation, start)
        position = self._locate(start)
        self._offset = self._log.offset(position, unit)
        self._sequence = position.sequence  # of the run's first chunk
        self._index = position.index  # what to leave out of the run's first chunk
        self._skip = Skip(0, unit)
        if start.offset > self._offset and not start.event_id:
            # Beyond the present end: leave out what comes until then.
            self._skip.remaining = start.offset - self._offset
            self._offset = start.offset

    @property
    def last_event_id(self) -> str | None:
        sequence = self._sequence + self._read
        cut = self.fallback is not None and self.fallback.unnamed == sequence
        if self._index or self._skip.remaining or cut:
            return None
        return str(EventId(self._generation, sequence))

    async def fetch(self) -> None:
        if self._unbroken >= _YIELD_EVERY:
            await self._give_way()
        log = self._log
        while not length_hint(self.ahead):
            following = self._sequence + len(self._run)
            if self._closed:
                raise StopAsyncIteration
            if self._fallen is not None:
                await self._fall_back(self._fallen)
            elif following < log.end:
                if following < log.first:
                    start = log.start_offset(self._unit)
                    self._fallen = OffsetOutOfRangeError(self._stream_id, self.offset, start)
                else:
                    self._take(following)
            elif log.ending is not None:
                await self._settling()
                error = error_of(self._stream_id, log.ending, self.offset)
                if error is not None:
                    raise error
                raise StopAsyncIteration
            else:
                self._unbroken = 0
                # As ``Log.changed`` does: one coroutine less for each chunk of a slow stream.
                waiter = self._loop.create_future()
                log.watch(waiter)
                try:
                    await waiter
                finally:
                    log.unwatch(waiter)

    def _begin_next(self) -> bool:
        following = self._sequence + self._read
        # At the end, and where text was trimmed away, ``fetch`` says so.
        if self._fallen or not self._log.first <= following < self._log.end:
            return False
        self._take(following)
        return True

    def _take(self, sequence: int) -> None:
        """Begin a run of the log's chunks from ``sequence``, without what precedes the offset."""
        taken = wanted = self._log.texts(sequence)
        if self._index:
            taken[0] = taken[0][self._index :]
            self._index = 0
        if self._skip.remaining:
            wanted = self._skip.feed_all(taken)
        self._begin_run(wanted)
        self._sequence = sequence + len(taken) - len(wanted)

    async def _fall_back(self, why: OffsetOutOfRangeError) -> None:
        """Begin a run of what the producer no longer buffers."""
        if self.fallback is None:
            raise why
        run = await self.fallback.next_run(self, why)
        if run and (after := self.fallback.after) is not None:
            self._begin_run(run)
            self._sequence, self._index = after.sequence - len(run), 0
            self._skip.remaining = 0

    async def _settling(self) -> None:
        """Wait for the end's record for a moment, so that whoever learns the end finds it there.

        The moment begins once, however often the caller asks: this reader does not wait for a
        broker that is slow or away.
        """
        now = asyncio.get_running_loop().time()
        if self._grace_until is None:
            self._grace_until = now + _END_GRACE
        settled = self._producer.settled
        if not settled.done() and now < self._grace_until:
            await asyncio.wait({settled}, timeout=self._grace_until - now)

    @property
    def left(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True
        self._sequence += self._read
        self._begin_run([])
        self._log.notify()
        if self.fallback is not None:
            self.fallback.close()

    async def aclose(self) -> None:
        self.close()
        if self.fallback is not None:
            await self.fallback.aclose()

    def _locate(self, start: Start) -> Position:
        log = self._log
        if start.event_id is not None:
            sequence = start.event_id.sequence
            if sequence > log.end:
                raise InvalidEventIdError(f"last event id '{start.event_id}' is beyond the stream")
            if sequence < log.first:
                trimmed = log.start_offset(self._unit)
                raise OffsetOutOfRangeError(self._stream_id, 0, trimmed)
            return Position(sequence)
        try:
            return log.locate(start.offset, self._unit) or Position(log.end)
        except TrimmedError as error:
            raise OffsetOutOfRangeError(self._stream_id, start.offset, error.start) from None
        except InsidePairError:
            raise inside_pair() from None
