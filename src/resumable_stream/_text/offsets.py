"""Offset arithmetic: UTF-16 code units, as JavaScript counts text, or Unicode code points."""

from __future__ import annotations

import operator
from enum import StrEnum
from typing import SupportsIndex

from resumable_stream.errors import InvalidOffsetError

# The largest integer that JavaScript reads exactly; also the bound of every number on the wire.
MAX_SAFE_INTEGER = 2**53 - 1


class OffsetUnit(StrEnum):
    """What an offset counts."""

    UTF16 = "utf-16"
    """UTF-16 code units: JavaScript's ``string.length``, and what the TypeScript package sends."""

    CODE_POINTS = "code-points"
    """Unicode code points: Python's ``len``."""


def check_offset(value: SupportsIndex | None) -> int:
    """Return the offset as an int; None is 0.

    Raises:
        InvalidOffsetError: it is not a whole number, negative, or beyond 2**53 - 1.
    """
    if value is None:
        return 0
    if isinstance(value, bool):
        raise InvalidOffsetError(f"offset {value!r} is a bool: pass a whole number of characters")
    try:
        offset = operator.index(value)
    except TypeError:
        raise InvalidOffsetError(
            f"offset {value!r} is not a whole number: convert it with int() first"
        ) from None
    if not 0 <= offset <= MAX_SAFE_INTEGER:
        raise InvalidOffsetError(f"offset {offset} is out of range: pass 0 to {MAX_SAFE_INTEGER}")
    return offset


def length(text: str, unit: OffsetUnit) -> int:
    """Count the units of ``text``."""
    if unit is OffsetUnit.CODE_POINTS or text.isascii():
        return len(text)
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def index_at(text: str, offset: int, unit: OffsetUnit) -> int | None:
    """Return the index in ``text`` that is ``offset`` units from its start.

    ``offset`` lies within the text. None means that it falls inside a surrogate pair.
    """
    if unit is OffsetUnit.CODE_POINTS or text.isascii():
        return offset
    low, high = offset // 2, min(offset, len(text))
    while low < high:
        middle = (low + high) // 2
        if length(text[:middle], unit) < offset:
            low = middle + 1
        else:
            high = middle
    return low if length(text[:low], unit) == offset else None


class Skip:
    """Drops the first units of a text that comes in chunks."""

    def __init__(self, units: int, unit: OffsetUnit) -> None:
        self.remaining = units
        self._unit = unit

    def feed(self, chunk: str) -> str | None:
        """Return the rest of the chunk; None if all of it is dropped.

        Raises:
            InvalidOffsetError: the skip ends inside a surrogate pair.
        """
        if not self.remaining:
            return chunk
        units = length(chunk, self._unit)
        if units <= self.remaining:
            self.remaining -= units
            return None
        index = index_at(chunk, self.remaining, self._unit)
        if index is None:
            raise inside_pair()
        self.remaining = 0
        return chunk[index:]

    def feed_all(self, chunks: list[str]) -> list[str]:
        """Return the rest of consecutive chunks.

        Raises:
            InvalidOffsetError: the skip ends inside a surrogate pair.
        """
        for at, chunk in enumerate(chunks):
            rest = self.feed(chunk)
            if rest is not None:
                return [rest, *chunks[at + 1 :]]
        return []


def inside_pair() -> InvalidOffsetError:
    return InvalidOffsetError(
        "the offset falls inside a surrogate pair: pass one on a character's boundary"
    )
