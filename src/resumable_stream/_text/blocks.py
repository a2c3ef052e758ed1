"""Sealed runs of chunks: their text as one piece of UTF-8, and where each chunk ends in it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

from resumable_stream._text.offsets import OffsetUnit, index_at, length
from resumable_stream._text.utf8 import array_of, cut_up, decode_text, encode_run

if TYPE_CHECKING:
    from collections.abc import Sequence


class Block:
    """Consecutive chunks that no longer change.

    Short chunks as objects of their own would take several times the memory of their text. UTF-8 is
    also what goes over the wire.

    Attributes:
        first: the sequence number of the first chunk.
        data: all of the text.
        ends: where each chunk ends in ``data``.
    """

    __slots__ = ("_before", "_ends", "data", "ends", "first")

    def __init__(self, first: int, before: dict[OffsetUnit, int], chunks: Sequence[str]) -> None:
        self.first = first
        self.data, self.ends = encode_run(chunks)
        self._before = before
        self._ends = dict.fromkeys(OffsetUnit, self.ends)
        if not self.data.isascii():
            for unit in OffsetUnit:
                self._ends[unit] = array_of(accumulate(length(chunk, unit) for chunk in chunks))

    @property
    def end(self) -> int:
        """The sequence number after the last chunk."""
        return self.first + len(self.ends)

    def offset(self, at: int, unit: OffsetUnit) -> int:
        """Return how much of the stream's text lies before the chunk at index ``at``."""
        return self._before[unit] + (self._ends[unit][at - 1] if at else 0)

    def end_offset(self, unit: OffsetUnit) -> int:
        """Return how much of the stream's text lies before the end of this block."""
        return self.offset(len(self.ends), unit)

    def locate(self, offset: int, unit: OffsetUnit) -> tuple[int, int | None]:
        """Return which chunk of this block holds the offset, and the index in that chunk.

        The offset lies before this block's end. The index is None if the offset falls inside a
        surrogate pair.
        """
        at = bisect_right(self._ends[unit], offset - self._before[unit])
        return at, index_at(self.text(at), offset - self.offset(at, unit), unit)

    def first_from(self, offset: int) -> int:
        """Return the sequence number of the first chunk that begins at the UTF-16 offset or later.

        That may be the first chunk after this block.
        """
        if offset <= self._before[OffsetUnit.UTF16]:
            return self.first
        ends = self._ends[OffsetUnit.UTF16]
        return self.first + bisect_left(ends, offset - self._before[OffsetUnit.UTF16]) + 1

    def text(self, at: int) -> str:
        return decode_text(self.data[self.ends[at - 1] if at else 0 : self.ends[at]])

    def texts(self, at: int) -> list[str]:
        """Return all chunks from index ``at`` on."""
        return cut_up(self.data, (self.ends[at - 1] if at else 0, *self.ends[at:]))
