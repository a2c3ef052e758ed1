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
from resumable_stream._reading.runs import RunReader
from resumable_stream._text.endings import Ending, Status, error_of
from resumable_stream._text.offsets import Skip, length
from resumable_stream.errors import (
    AccessDeniedError,
    BackendUnavailableError,
    InvalidEventIdError,
    OffsetOutOfRangeError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from resumable_stream._shared import Shared
    from resumable_stream.journal import Journal

logger = logging.getLogger("resumable_stream")

# How much is read at a time.
_STEP = 256 * 1024
_FIRST_PAUSE = 0.05
_LOST = Ending(Status.LOST)


class Replay(RunReader):
    """Reads the log of one producer's run.

    Args:
        shared: what the instance shares.
        journal: where the log is.
        stream_id: which stream.
        generation: whose run.
        start: where to begin.
        go_on: gives a reader of what follows a log without an end; None if nobody has that text.
    """

    __slots__ = (
        "_assembly",
        "_closed",
        "_final",
        "_following",
        "_generation",
        "_go_on",
        "_index",
        "_journal",
        "_log",
        "_sequence",
        "_shared",
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
        go_on: Callable[[Start], Awaitable[RunReader | None]],
    ) -> None:
        unit = shared.options.unit
        offset, self._wanted = (start.offset, 0)
        if start.event_id is not None:
            offset, self._wanted = (0, start.event_id.sequence)
        super().__init__(offset, unit)
        self._skip = Skip(offset, unit)
        self._shared = shared
        self._journal = journal
        self._stream_id = stream_id
        self._generation = generation
        self._log = shared.names.journal(stream_id, generation)
        self._go_on = go_on
        self._following: RunReader | None = None
        self._closed = False
        self._turn = asyncio.Lock()
        self._assembly = Assembly(hold=0, place=Place(0))
        self._final: EndFrame | None = None
        self._index = 0  # of the record to read next
        self._sequence = 0  # of the run's first chunk

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
        async with self._turn:
            while not length_hint(self.ahead):
                if self._closed:
                    raise StopAsyncIteration
                if self._following is not None:
                    run = await self._following.next_run()
                    self._sequence += self._read
                    self._begin_run(self._run[self._read :] + run)
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
        if self._place < final.end:
            final = final._replace(ending=_LOST)
        elif self._wanted > final.end and final.ending.status is not Status.LOST:
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
        following = max(self._place, self._wanted)
        start = Start(0, EventId(self._generation, following), named=True)
        self._following = await self._go_on(start)
        if self._following is not None:
            if self._closed:
                await self._following.aclose()
            return
        # It may have ended meanwhile.
        if records := await self._next_records():
            self._take(records)
        else:
            self._final = EndFrame(self._generation, self._place, _LOST)

    def _take(self, records: Sequence[bytes]) -> None:
        """Begin a run of the chunks in these records that are wanted."""
        first, taken = self._place, list[str]()
        for record in records:
            self._index += 1
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
        self._begin_run([])  # so that what was read is counted
        wanted = self._leave_out(first, taken)
        self._sequence = first + len(taken) - len(wanted)
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
        """Read on, however often the journal fails meanwhile; empty at the end of what is there."""
        clock, backoff = asyncio.get_running_loop().time, Backoff(_FIRST_PAUSE)
        since = clock()
        while True:
            try:
                records = await self._journal.read(self._log, self._index, max_bytes=_STEP)
            except AccessDeniedError:
                raise
            except BackendUnavailableError:
                if not self._index or clock() - since >= self._shared.options.outage_timeout:
                    raise
                await asyncio.sleep(backoff.next())
                continue
            if records is None:
                raise self._gone()
            return records

    def _gone(self) -> OffsetOutOfRangeError:
        return OffsetOutOfRangeError(self._stream_id, self.offset)
