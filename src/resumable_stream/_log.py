"""The one buffer of a stream: an append-only log of chunks, which every reader is a cursor into."""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum

from resumable_stream._offsets import OffsetUnit, has_astral, index_at, length

# Trimmed entries are cut off the lists when they are this many and outnumber what is left.
_COMPACT_AT = 1024


class Status(StrEnum):
    """How a stream ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Ending:
    """The one truthful end of a stream, the same for all its readers."""

    status: Status
    error_type: str | None = None
    error_message: str | None = None
    cause: BaseException | None = None


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the text: a chunk by its sequence number, and an index within that chunk."""

    sequence: int
    index: int = 0


class TrimmedError(Exception):
    """The place asked for is before ``start``, the first offset still buffered."""

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self.start = start


class InsidePairError(Exception):
    """The offset falls inside a surrogate pair."""


class Log:
    """Chunks by sequence number, with the offset of each in both units.

    Args:
        limit: how many UTF-16 code units to keep; the newest chunk is always kept.
    """

    def __init__(self, limit: int) -> None:
        self.ending: Ending | None = None
        self._limit = limit
        self._chunks: list[str] = []
        self._base = 0  # the sequence number of _chunks[0]
        self._trimmed = 0  # how many entries of _chunks are trimmed, but not yet cut off
        # The offset at the end of each chunk. Code points have a list of their own only once some
        # text makes the two units differ.
        self._ends = array("Q")
        self._point_ends: array[int] | None = None
        self._base_offset = 0
        self._base_points = 0
        self._waiters: dict[asyncio.Future[None], None] = {}  # in order of arrival

    @property
    def first(self) -> int:
        """The sequence number of the oldest chunk still buffered."""
        return self._base + self._trimmed

    @property
    def end(self) -> int:
        """The sequence number that the next chunk will get."""
        return self._base + len(self._chunks)

    def append(self, chunk: str) -> None:
        """Add a chunk, trim what exceeds the limit, and wake the readers."""
        if self._point_ends is None and has_astral(chunk):
            self._point_ends = array("Q", self._ends)
            self._base_points = self._base_offset
        if self._point_ends is not None:
            start = self._point_ends[-1] if self._point_ends else self._base_points
            self._point_ends.append(start + len(chunk))
        start = self._ends[-1] if self._ends else self._base_offset
        self._ends.append(start + length(chunk, OffsetUnit.UTF16))
        self._chunks.append(chunk)
        if self._ends[-1] - self._limit > self._base_offset:
            self._trim()
        if self._waiters:
            self._wake()

    def finish(self, ending: Ending) -> bool:
        """Set the end, once; tell whether this call was the one that did."""
        if self.ending is not None:
            return False
        self.ending = ending
        self._wake()
        return True

    def chunk(self, sequence: int) -> str:
        """Return a chunk between ``first`` and ``end``."""
        return self._chunks[sequence - self._base]

    def offset(self, position: Position, unit: OffsetUnit) -> int:
        """Return how many units of text lie before ``position``, which is not trimmed."""
        ends, base = self._offsets(unit)
        at = position.sequence - self._base
        start = ends[at - 1] if at else base
        if not position.index:
            return start
        return start + length(self._chunks[at][: position.index], unit)

    def locate(self, offset: int, unit: OffsetUnit) -> Position | None:
        """Return the place of an offset; None if the text has not come so far yet.

        Raises:
            TrimmedError: the text there is no longer buffered.
            InsidePairError: the offset falls inside a surrogate pair.
        """
        ends, base = self._offsets(unit)
        start = ends[self._trimmed - 1] if self._trimmed else base
        if offset < start:
            raise TrimmedError(start)
        if offset == start:
            return Position(self.first)
        if not ends or offset > ends[-1]:
            return None
        at = bisect_right(ends, offset)
        before = ends[at - 1] if at else base
        if offset == before:
            return Position(self._base + at)
        index = index_at(self._chunks[at], offset - before, unit)
        if index is None:
            raise InsidePairError
        return Position(self._base + at, index)

    def start_offset(self, unit: OffsetUnit) -> int:
        """Return the first offset still buffered."""
        return self.offset(Position(self.first), unit)

    def end_offset(self, unit: OffsetUnit) -> int:
        """Return the offset at the present end."""
        return self.offset(Position(self.end), unit)

    def notify(self) -> None:
        """Wake every reader, though nothing came."""
        self._wake()

    def watch(self, waiter: asyncio.Future[None]) -> None:
        """Resolve ``waiter`` at the next chunk or at the end."""
        self._waiters[waiter] = None

    def unwatch(self, waiter: asyncio.Future[None]) -> None:
        self._waiters.pop(waiter, None)

    async def changed(self) -> None:
        """Wait for the next chunk or the end. Cancellation loses nothing."""
        waiter = asyncio.get_running_loop().create_future()
        self.watch(waiter)
        try:
            await waiter
        finally:
            self.unwatch(waiter)

    def _offsets(self, unit: OffsetUnit) -> tuple[array[int], int]:
        if unit is OffsetUnit.CODE_POINTS and self._point_ends is not None:
            return self._point_ends, self._base_points
        return self._ends, self._base_offset

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def _trim(self) -> None:
        keep_from = self._ends[-1] - self._limit
        last = len(self._chunks) - 1
        while self._trimmed < last:
            start = self._ends[self._trimmed - 1] if self._trimmed else self._base_offset
            if start >= keep_from:
                break
            self._chunks[self._trimmed] = ""
            self._trimmed += 1
        if self._trimmed >= _COMPACT_AT and self._trimmed * 2 > len(self._chunks):
            self._compact()

    def _compact(self) -> None:
        cut = self._trimmed
        self._base_offset = self._ends[cut - 1]
        if self._point_ends is not None:
            self._base_points = self._point_ends[cut - 1]
            del self._point_ends[:cut]
        del self._ends[:cut]
        del self._chunks[:cut]
        self._base += cut
        self._trimmed = 0
