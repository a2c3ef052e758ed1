"""Read a stream's text from the journal: one that is over, or what nobody buffers any more."""

from __future__ import annotations

import asyncio
import logging
from operator import length_hint
from typing import TYPE_CHECKING

from resumable_stream._backoff import Backoff
from resumable_stream._protocol.places import EventId, Place, Start
from resumable_stream._protocol.records import decode_record
from resumable_stream._protocol.wire import EndFrame, MalformedFrameError
from resumable_stream._reading.assembly import Assembly
from resumable_stream._reading.local import LocalReader
from resumable_stream._reading.log_records import LogRecords
from resumable_stream._reading.runs import RunReader
from resumable_stream._text.endings import Ending, Status, error_of
from resumable_stream._text.offsets import Skip, length
from resumable_stream.errors import (
    InvalidEventIdError,
    OffsetOutOfRangeError,
    ProducerLostError,
    StreamSupersededError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from resumable_stream._protocol.sentinel import Outcome
    from resumable_stream._shared import Shared
    from resumable_stream.journal import Journal

logger = logging.getLogger("resumable_stream")

_FIRST_PAUSE = 0.05
# A record that was written late may repeat others, but not so many.
_MOST_REPEATED = 1000
_LOST = Ending(Status.LOST)
_UNFINISHED = {Status.LOST, Status.SUPERSEDED}


class Replay(RunReader):
    """Reads the log of one producer's run, and goes on with the producer where the log ends.

    A reader that the producer then leaves behind, or that loses it, goes back into the log.

    Args:
        shared: what the instance shares.
        journal: where the log is.
        stream_id: which stream.
        generation: whose run.
        start: where to begin.
        go_on: gives a reader of what follows a log without an end; None if nobody has that text,
            and ``OffsetOutOfRangeError`` if its producer has dropped it. It is told for how many
            seconds the place may lie beyond what the producer has.
    """

    __slots__ = (
        "_assembly",
        "_closed",
        "_come",
        "_final",
        "_following",
        "_generation",
        "_go_on",
        "_loss",
        "_options",
        "_records",
        "_repeated",
        "_sequence",
        "_skip",
        "_stream_id",
        "_turn",
        "_wanted",
    )

    def __init__(
        self,
        shared: Shared,
        journal: Journal,
        stream_id: str,
        generation: int,
        start: Start,
        go_on: Callable[[Start, float], Awaitable[RunReader | Outcome | None]],
    ) -> None:
        unit = shared.options.unit
        offset, self._wanted = (start.offset, 0)
        if start.event_id is not None:
            offset, self._wanted = (0, start.event_id.sequence)
        super().__init__(offset, unit)
        self._skip = Skip(offset, unit)
        self._stream_id = stream_id
        self._generation = generation
        self._records = LogRecords(
            journal, shared.names.journal(stream_id, generation), shared.options.outage_timeout
        )
        self._options = shared.options
        self._go_on = go_on
        self._following: RunReader | None = None
        self._closed = False
        self._assembly = Assembly(hold=0, place=Place(0))
        self._final: EndFrame | None = None
        self._come = 0  # how many of the first chunks have come, from wherever
        self._repeated = 0  # how many records in succession had nothing new
        self._sequence = 0  # of the run's first chunk
        self._loss: Ending | None = None  # how the producer that it went on with was lost
        self._turn = asyncio.Lock()

    @property
    def last_event_id(self) -> str | None:
        sequence = self._sequence + self._read
        if self._skip.remaining or sequence < self._wanted:
            return None
        return str(EventId(self._generation, sequence))

    async def open(self) -> bool:
        """Read what the log begins with; return whether there is a log.

        Raises:
            OffsetOutOfRangeError: its beginning is gone.
            InvalidEventIdError: the event id lies beyond the text.
            InvalidOffsetError: the offset falls inside a surrogate pair.
            BackendError: the journal did not answer.
        """
        if not (records := await self._next_records()):
            return False
        self._take(records)
        return True

    async def fetch(self) -> None:
        async with self._turn:  # or two callers would read the same records
            while not length_hint(self.ahead):
                if self._closed:
                    raise StopAsyncIteration
                if self._following is not None:
                    await self._follow(self._following)
                elif self._final is not None:
                    self._end(self._final)
                elif records := await self._next_records():
                    if not self._closed:
                        self._take(records)
                        await self._give_way()
                else:
                    await self._leave_the_log()

    def close(self) -> None:
        self._closed = True
        self._sequence += self._read
        self._begin_run([])
        if self._following is not None:
            self._following.close()

    async def aclose(self) -> None:
        self.close()
        if self._following is not None:
            await self._following.aclose()

    def _begin_next(self) -> bool:
        return False

    def _end(self, final: EndFrame) -> None:
        """Raise as the stream has ended, if all of its text was there."""
        if self._come < final.end:
            final = final._replace(ending=_LOST)
        elif self._wanted > max(final.end, self._come) and final.ending.status not in _UNFINISHED:
            raise InvalidEventIdError(
                f"last event id '{self._generation}-{self._wanted}' is beyond the stream"
            )
        raise error_of(self._stream_id, final.ending, self.offset) or StopAsyncIteration

    @property
    def _place(self) -> int:
        """How many whole chunks have come."""
        place = self._assembly.place
        return place.sequence if place else 0

    async def _leave_the_log(self) -> None:
        """Go on where the log ends without an end: its producer lives, or is lost."""
        following = max(self._come, self._wanted)
        start = Start(0, EventId(self._generation, following), named=True)
        # With "sync", a producer learns that text is written after others can read it, and its
        # journal may be away meanwhile.
        read = self._come >= self._wanted
        patience = self._options.outage_timeout if read else self._options.handshake_timeout
        try:
            found = None if self._loss else await self._go_on(start, patience)
        except OffsetOutOfRangeError as error:
            # A record with what was dropped may be under way.
            await self._wait_for_records(error)
            return
        if isinstance(found, RunReader):
            self._following = found
            if self._closed:
                await found.aclose()
            if following > self._come:
                self._offset, self._come = found.offset, following
        # It may have ended meanwhile.
        elif records := await self._next_records():
            self._take(records)
        elif found is not None and not found.kept_until:
            if found.end > self._come and found.ending.status is not Status.LOST:
                raise self._gone()
            self._final = EndFrame(self._generation, found.end, found.ending)
        else:
            final = self._loss or _LOST
            self._final = EndFrame(self._generation, self._place, final)

    async def _wait_for_records(self, error: OffsetOutOfRangeError) -> None:
        """Read what is written next; raise the error if nothing is."""
        clock, backoff = asyncio.get_running_loop().time, Backoff(_FIRST_PAUSE)
        deadline = clock() + self._options.handshake_timeout  # for a record that is under way
        while not (records := await self._next_records()):
            if clock() > deadline or self._closed:
                raise OffsetOutOfRangeError(self._stream_id, self.offset, error.start)
            await asyncio.sleep(backoff.next())
        self._take(records)

    async def _follow(self, following: RunReader) -> None:
        """Begin a run of what the producer has, or go back into the log if it gives no more."""
        try:
            run = await following.next_run()
        except OffsetOutOfRangeError:
            self._following = None
        except ProducerLostError as error:
            if isinstance(following, LocalReader):
                raise  # it has had all of the text
            superseded = isinstance(error, StreamSupersededError)
            self._loss = Ending(Status.SUPERSEDED) if superseded else _LOST
            self._following = None
        else:
            self._hand_out(run)

    def _take(self, records: Sequence[bytes]) -> None:
        """Begin a run of the chunks in these records that are new and wanted."""
        first, begin, taken = self._place, self._assembly.place, list[str]()
        for record in records:
            self._records.index += 1
            try:
                frames = decode_record(self._stream_id, self._generation, record)
            except MalformedFrameError as error:
                logger.error("stream %r: its journal is damaged: %s", self._stream_id, error)  # noqa: TRY400
                self._final = EndFrame(self._generation, self._place, _LOST)
                break
            for frame in frames:
                if isinstance(frame, EndFrame):
                    self._final = frame
                    break
                if self._assembly.place is not None and frame.place > self._assembly.place:
                    raise self._gone()
                taken += self._assembly.accept(frame)
            if self._final is not None:
                break  # a record that comes late may stand behind the end
        self._repeated = self._repeated + len(records) if self._assembly.place == begin else 0
        if self._repeated > _MOST_REPEATED:
            logger.error("stream %r: its journal repeats itself", self._stream_id)
            self._final = EndFrame(self._generation, self._place, _LOST)
        self._hand_out(taken[max(0, self._come - first) :])

    def _hand_out(self, chunks: list[str]) -> None:
        """Begin a run of what is wanted of the chunks that come next."""
        self._begin_run([])  # so that what was read is counted
        wanted = self._leave_out(self._come, chunks)
        self._come += len(chunks)
        self._sequence = self._come - len(wanted)
        self._begin_run(wanted)

    def _leave_out(self, first: int, taken: list[str]) -> list[str]:
        """Return what is wanted of chunks, the first of which has this number."""
        if self._skip.remaining:
            wanted = self._skip.feed_all(taken)
            if wanted and wanted[0] != taken[-len(wanted)]:
                self._wanted = first + len(taken) - len(wanted) + 1  # no event id names a cut
            return wanted
        before = min(max(0, self._wanted - first), len(taken))
        self._offset += length("".join(taken[:before]), self._unit)
        return taken[before:]

    async def _next_records(self) -> Sequence[bytes]:
        """Read on; empty at the end of what is there."""
        records = await self._records.read()
        if records is None:
            raise self._gone()
        return records

    def _gone(self) -> OffsetOutOfRangeError:
        return OffsetOutOfRangeError(self._stream_id, self.offset)
