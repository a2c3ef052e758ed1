"""Sealed runs of chunks: their text as one piece, and where a chunk lies in it once asked."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from itertools import accumulate, count
from operator import add
from typing import TYPE_CHECKING

from resumable_stream._text.joined import join
from resumable_stream._text.offsets import OffsetUnit, index_at, length
from resumable_stream._text.utf8 import decode_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class Block:
    """Consecutive chunks that no longer change.

    Short chunks as objects of their own would take several times the memory of their text, and a
    frame carries the joined text as it is. Where each chunk ends is counted when somebody asks for
    a place inside the block, and kept.

    Args:
        before: how much of the stream's text precedes the block, in each unit.

    Attributes:
        first: the sequence number of the first chunk.
        end: the sequence number after the last chunk.
        joined: all of the chunks.
        after: how much of the stream's text precedes the end of the block, in each unit.
    """

    __slots__ = ("_before", "_byte_ends", "_ends", "after", "end", "first", "joined")

    def __init__(self, first: int, before: dict[OffsetUnit, int], chunks: Sequence[str]) -> None:
        self.first = first
        self.end = first + len(chunks)
        self.joined = join(chunks)
        self._before = before
        text = "".join(chunks)
        self.after = {unit: before[unit] + length(text, unit) for unit in OffsetUnit}
        self._byte_ends: array[int] | None = None
        self._ends: dict[OffsetUnit, array[int]] | None = None

    def offset(self, at: int, unit: OffsetUnit) -> int:
        """Return how much of the stream's text lies before the chunk at index ``at``."""
        if self.first + at == self.end:
            return self.after[unit]
        return self._before[unit] + (self._ends_in(unit)[at - 1] if at else 0)

    def locate(self, offset: int, unit: OffsetUnit) -> tuple[int, int | None]:
        """Return which chunk of this block holds the offset, and the index in that chunk.

        The offset lies before this block's end. The index is None if the offset falls inside a
        surrogate pair.
        """
        at = bisect_right(self._ends_in(unit), offset - self._before[unit])
        return at, index_at(self.text(at), offset - self.offset(at, unit), unit)

    def first_from(self, offset: int) -> int:
        """Return the sequence number of the first chunk that begins at the UTF-16 offset or later.

        That may be the first chunk after this block.
        """
        if offset <= self._before[OffsetUnit.UTF16]:
            return self.first
        ends = self._ends_in(OffsetUnit.UTF16)
        return self.first + bisect_left(ends, offset - self._before[OffsetUnit.UTF16]) + 1

    def text(self, at: int) -> str:
        return decode_text(self.joined.data[self.start(at) : self.byte_ends()[at]])

    def texts(self, at: int) -> list[str]:
        """Return all chunks from index ``at`` on."""
        texts = self.joined.texts()
        return texts[at:] if at else texts

    def start(self, at: int) -> int:
        """Return where the chunk at index ``at`` begins in the joined data."""
        return self.byte_ends()[at - 1] + len(self.joined.separator) if at else 0

    def byte_ends(self) -> array[int]:
        """Return where each chunk ends in the joined data."""
        if self._byte_ends is None:
            sizes = accumulate(map(len, self.joined.parts()))
            gaps = count(0, len(self.joined.separator))
            self._byte_ends = _array_of(map(add, sizes, gaps))
        return self._byte_ends

    def _ends_in(self, unit: OffsetUnit) -> array[int]:
        """Return how much of this block's text lies before the end of each chunk."""
        if self._ends is None:
            self._ends = {}
        if unit not in self._ends:
            texts = self.joined.texts()
            if unit is OffsetUnit.CODE_POINTS or self.joined.data.isascii():
                lengths: Iterator[int] = map(len, texts)
            else:
                lengths = (length(text, unit) for text in texts)
            self._ends[unit] = _array_of(accumulate(lengths))
        return self._ends[unit]


def _array_of(numbers: Iterable[int]) -> array[int]:
    values = list(numbers)
    return array("I" if not values or values[-1] < 2**32 else "Q", values)
