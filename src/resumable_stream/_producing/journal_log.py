"""One run's log in the journal: each record is appended once, and a dead producer's log sealed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from resumable_stream._protocol.records import decode_record, encode_record
from resumable_stream._protocol.wire import EndFrame, MalformedFrameError
from resumable_stream._text.endings import Ending, Status
from resumable_stream.errors import BackendFaultError, BackendUnavailableError, OutcomeUnknownError

if TYPE_CHECKING:
    from resumable_stream._protocol.records import Recorded
    from resumable_stream.journal import Journal

logger = logging.getLogger("resumable_stream")

# How often somebody else may append before a log that is being sealed.
_SEAL_ATTEMPTS = 32
# No log is as long as this.
_MOST_RECORDS = 2**40


class ForeignRecordError(Exception):
    """The log has a record that this producer did not write: its claim was taken over."""


class LostRecordsError(Exception):
    """The journal no longer has the records before the one to append."""


class JournalLog:
    """The log of one run, written to by one producer at a time.

    Args:
        ttl: how long a record is kept, in seconds.

    Attributes:
        index: of the record to append next.
    """

    __slots__ = ("_journal", "_name", "_ttl", "index")

    def __init__(self, journal: Journal, name: str, ttl: int) -> None:
        self._journal = journal
        self._name = name
        self._ttl = ttl
        self.index = 0

    async def append(self, record: bytes) -> None:
        """Append a record. After a ``BackendError`` the same record must be appended again.

        Raises:
            ForeignRecordError: another record stands in its place.
            LostRecordsError: the records before it are gone.
            BackendError: it was not written, or that is not known.
        """
        unknown: OutcomeUnknownError | None = None
        try:
            written = await self._journal.append(self._name, self.index, record, ttl=self._ttl)
        except OutcomeUnknownError as error:
            written, unknown = False, error
        if not written:
            found = await self._journal.read(self._name, self.index, max_bytes=1)
            if found and found[0] != record:
                raise ForeignRecordError
            if not found:
                raise unknown or LostRecordsError
        self.index += 1

    async def find_end(self) -> bytes | None:
        """Go to the end of what is there; return the last record, if it is.

        Raises:
            BackendError: the journal did not answer, or its log has no end.
        """
        known, beyond, last = 0, 1, None
        while (there := await self._look(beyond - 1)) is not None:
            known, beyond, last = beyond, beyond * 2, there
            if beyond > _MOST_RECORDS:
                raise BackendFaultError(
                    f"the journal says that log {self._name!r} has record {known - 1}: prove the "
                    "journal with the conformance suite"
                )
        while beyond - known > 1:
            middle = (known + beyond) // 2
            if (there := await self._look(middle - 1)) is not None:
                known, last = middle, there
            else:
                beyond = middle
        self.index = known
        return last or None

    async def record_before_last(self) -> bytes | None:
        """Return the record before the one that ``find_end`` returned; None or empty without one.

        Raises:
            BackendError: the journal did not answer.
        """
        return await self._look(self.index - 2) if self.index > 1 else None

    async def _look(self, index: int) -> bytes | None:
        """Return the record, empty if only later ones are there; None if it was not written."""
        found = await self._journal.read(self._name, index, max_bytes=1)
        if found is None:
            return b""
        return found[0] if found else None


def end_of(frame: Recorded) -> int:
    """Return how many whole chunks the stream has up to the end of a frame."""
    if isinstance(frame, EndFrame):
        return frame.end
    return frame.place.sequence + frame.joined.number - frame.partial


async def end_in(log: JournalLog, stream_id: str, generation: int) -> EndFrame | None:
    """Return how a log ends; None if it has no end, or cannot be read.

    It reads few records, however many there are.

    Raises:
        BackendError: the journal did not answer.
    """
    last = await log.find_end()
    try:
        frames = decode_record(stream_id, generation, last) if last else []
        return _end_of(frames) or await _end_before(log, stream_id, generation)
    except MalformedFrameError:
        return None


async def _end_before(log: JournalLog, stream_id: str, generation: int) -> EndFrame | None:
    """Return the end in the record before the last one, which came late if there is one."""
    before = await log.record_before_last()
    try:
        return _end_of(decode_record(stream_id, generation, before)) if before else None
    except MalformedFrameError:
        return None


def _end_of(frames: list[Recorded]) -> EndFrame | None:
    return frames[-1] if frames and isinstance(frames[-1], EndFrame) else None


async def seal(log: JournalLog, stream_id: str, generation: int) -> EndFrame | None:
    """End a dead producer's log, unless it has ended; return its end.

    Either the seal stands in the log or the next record of the old producer, which is superseded
    once it finds the seal. Return None if the log cannot be read.

    Raises:
        BackendError: the log is not sealed, or that is not known; try again.
    """
    for _ in range(_SEAL_ATTEMPTS):
        last = await log.find_end()
        try:
            frames = decode_record(stream_id, generation, last) if last else []
            there = _end_of(frames) or await _end_before(log, stream_id, generation)
        except MalformedFrameError as error:
            logger.error("stream %r: its journal cannot be read: %s", stream_id, error)  # noqa: TRY400
            return None
        if there is not None:
            return there
        end = EndFrame(generation, end_of(frames[-1]) if frames else 0, Ending(Status.LOST))
        try:
            await log.append(encode_record(stream_id, end))
        except (ForeignRecordError, LostRecordsError):
            continue
        return end
    raise BackendUnavailableError(
        f"the journal of stream {stream_id!r} is still being written to; try again"
    )
