"""How a run's text gets into its log: cut into records, and written however often that takes."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, NamedTuple

from resumable_stream._backoff import Backoff
from resumable_stream._options import Durability
from resumable_stream._producing.claim import SupersededError
from resumable_stream._producing.journal_log import (
    ForeignRecordError,
    JournalLog,
    LostRecordsError,
)
from resumable_stream._producing.pieces import cut_blocks, piece_size
from resumable_stream._protocol import sentinel
from resumable_stream._protocol.names import live_id
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.records import decode_record, encode_record
from resumable_stream._protocol.wire import DataFrame, EndFrame, MalformedFrameError
from resumable_stream.errors import (
    AccessDeniedError,
    BackendError,
    BackendFaultError,
    BackendUnavailableError,
    RecordTooLargeError,
    WrongKeyTypeError,
)

if TYPE_CHECKING:
    from resumable_stream._producing.claim import Claim
    from resumable_stream._shared import Shared
    from resumable_stream._text.log import Log
    from resumable_stream.journal import Journal

logger = logging.getLogger("resumable_stream")

_FIRST_PAUSE = 0.1
# How often in succession the journal may lose what was written.
_MOST_LOSSES = 5
# Room for the end in the last record of text.
_END_ROOM = 2048
# Errors that do not pass by themselves.
_LASTING = (AccessDeniedError, BackendFaultError, RecordTooLargeError, WrongKeyTypeError)


class NotKeptError(Exception):
    """The text is not kept, for this reason."""


class _Record(NamedTuple):
    """The text between two places, as the journal gets it."""

    begin: Place
    data: bytes
    after: Place


class JournalWriter:
    """Writes one run's text, record by record.

    Args:
        tolerance: for how many seconds the journal may be away.

    Attributes:
        place: of the text to write next.
        index: of the record to write next.
        doubtful: records may have been lost: the next write looks.
    """

    __slots__ = (
        "_claim",
        "_end_record",
        "_ended",
        "_generation",
        "_log",
        "_losses",
        "_next",
        "_options",
        "_point_at",
        "_room",
        "_stream_id",
        "_tolerance",
        "_written",
        "doubtful",
        "place",
    )

    def __init__(
        self, stream_id: str, claim: Claim, shared: Shared, journal: Journal, tolerance: float
    ) -> None:
        self._stream_id = stream_id
        self._claim = claim
        self._generation = generation = claim.generation
        self._options = shared.options
        self._tolerance = tolerance
        name = shared.names.journal(stream_id, generation)
        self._log = JournalLog(journal, name, self._options.retention_ttl)
        self._room = piece_size(live_id(stream_id, generation), journal.max_record_size - _END_ROOM)
        self._end_record = b""  # what was sent as the last record
        self._ended = False
        self._written = 0  # bytes
        self._losses = 0  # since a record was written
        self._next: _Record | None = None  # prepared
        # When the pointer to the log has to be written again. At its end, a stream needs none.
        self._point_at = math.inf if self._options.durability is Durability.EXIT else 0.0
        self.doubtful = False
        self.place = Place(0)

    @property
    def index(self) -> int:
        return self._log.index

    async def copy(self, text: Log) -> None:
        """Write the text that there is now, before a pointer leads here: another log may have it.

        Raises:
            As ``write``.
        """
        self._point_at, until = math.inf, text.end
        while self.place.sequence < until and await self.write(text, None):
            pass
        self._point_at = 0.0
        await self._point()

    async def write(self, text: Log, end: EndFrame | None) -> bool:
        """Write the text from ``place`` on, as much as fits a record, with the end if all does.

        Return whether anything is left. Cancelled, it may have written or not.

        Raises:
            NotKeptError: the text cannot be kept; the reason is the message.
            ForeignRecordError, SupersededError: the stream was taken over.
            BackendError: the journal has failed for good, or been away for too long.
        """
        if self._ended:
            return False
        if self.doubtful:
            await self._insist(None)
            return True
        if self.place.sequence < text.first:
            raise NotKeptError("its buffer_limit was reached before it was written")
        record, self._next = self._next, None
        if record is None or record.begin != self.place:
            record = self._encode(text, self.place, end)
        if not record.data:
            return False
        done = record.after == Place(text.end)
        if end is not None and done:
            self._end_record = record.data
        size = self._written + len(record.data)
        if size > self._options.journal_limit:
            limit = self._options.journal_limit
            raise NotKeptError(f"it is longer than journal_limit, {limit} bytes")
        if not done:
            asyncio.get_running_loop().call_soon(self._prepare, text, record.after)
        if not await self._insist(record.data):
            return True
        self.place = record.after
        self._written = size
        return not done

    def _encode(self, text: Log, place: Place, end: EndFrame | None) -> _Record:
        """Return a record of what follows a place, with the end if all does; it may be empty."""
        begin, frames = place, list[DataFrame | EndFrame]()
        for piece in cut_blocks(text, place, self._room):
            frames.append(DataFrame(self._generation, place, piece.joined, piece.partial, text.end))
            place = piece.after
        if end is not None and place == Place(text.end):
            frames.append(end)
        return _Record(begin, encode_record(self._stream_id, *frames), place)

    def _prepare(self, text: Log, place: Place) -> None:
        """Encode the next record while the journal takes this one, if the next one is full, too."""
        if place.sequence >= text.first:
            record = self._encode(text, place, None)
            self._next = record if record.after != Place(text.end) else None

    async def _insist(self, record: bytes | None) -> bool:
        """Append the record, or find the end of the log, however often that takes.

        Return whether the record was written; if not, ``place`` is another one now.
        """
        clock, backoff = asyncio.get_running_loop().time, Backoff(_FIRST_PAUSE)
        since = clock()
        while True:
            began = clock()
            # It may become doubtful meanwhile.
            looking = record is None or self.doubtful
            try:
                if record is not None and not looking:
                    return await self._append(record)
                await self._find_place()
                if self.index and not self._ended:
                    await self._point()
                self.doubtful = False
                return False
            except (LostRecordsError, ForeignRecordError) as error:
                if isinstance(error, ForeignRecordError) and looking:
                    raise  # the log has an end
                # Or a record of this producer's own came late, after the log had lost others.
                self._note_loss()
                await asyncio.sleep(backoff.next())
            except _LASTING:
                raise
            except BackendError as error:
                if backoff.upcoming == _FIRST_PAUSE:
                    logger.warning("stream %r: its journal is away: %s", self._stream_id, error)
                if began - since >= self._tolerance:
                    raise BackendUnavailableError(
                        f"the journal has been away for {self._tolerance:g} s: {error}"
                    ) from error
                await asyncio.sleep(backoff.next())

    async def _append(self, record: bytes) -> bool:
        await self._point()
        if self._ended:
            return False
        await self._log.append(record)
        self._losses = 0
        return True

    def _note_loss(self) -> None:
        """Look where the log ends, unless that goes on and on."""
        self._losses += 1
        if self._losses > _MOST_LOSSES:
            raise BackendFaultError(
                f"the journal refuses record {self.index} of stream {self._stream_id!r}, "
                "which is the next: prove the journal with the conformance suite"
            )
        logger.warning("stream %r: the journal has lost some of its text", self._stream_id)
        self.doubtful = True

    async def _find_place(self) -> None:
        """Go on where the log ends: what was lost of it is written again."""
        if self._point_at < math.inf:
            self._point_at = 0.0
        last = await self._log.find_end()
        if not last:
            self._log.index, self.place = 0, Place(0)
            self._written = 0
            return
        try:
            frame = decode_record(self._stream_id, self._generation, last)[-1]
        except MalformedFrameError as error:
            raise ForeignRecordError from error
        if isinstance(frame, EndFrame):
            if last != self._end_record:
                raise ForeignRecordError
            self._ended, self.place = True, Place(frame.end)
        elif frame.partial:
            size = len(frame.joined.parts()[-1])
            at = frame.place.sequence + frame.joined.number - 1
            byte = frame.place.byte if frame.joined.number == 1 else 0
            self.place = Place(at, byte + size)
        else:
            self.place = frame.after

    async def _point(self) -> None:
        """See that the text is found if this producer dies: its generation stands in a key."""
        clock = asyncio.get_running_loop().time
        if clock() < self._point_at:
            return
        retention = self._options.retention
        try:
            await self._claim.point(math.ceil(sentinel.wall_clock() + retention))
        except SupersededError:
            # Who took it for dead may have found its own end in the log, and recorded that.
            if self._end_record:
                await self._find_place()
            if not self._ended:
                raise
        self._point_at = clock() + retention / 2
