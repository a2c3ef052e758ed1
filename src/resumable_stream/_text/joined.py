"""Consecutive chunks as one piece of UTF-8, the same in memory and on the wire."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

from resumable_stream._text.utf8 import decode_text, encode_text

if TYPE_CHECKING:
    from collections.abc import Sequence

# The first of them that no chunk contains stands between the chunks.
SEPARATORS = "\x1e\x1f\x1d\x1c"


class Joined(NamedTuple):
    """Chunks as UTF-8; the first and the last may be parts of chunks, cut between any two bytes.

    Attributes:
        data: the chunks, with the separator between each two.
        number: how many there are; one empty chunk and none have the same data.
        separator: a character that no chunk contains; empty if the lengths are given instead.
        lengths: how many bytes each chunk has, if they contain all separators.
    """

    data: bytes = b""
    number: int = 0
    separator: str = SEPARATORS[0]
    lengths: Sequence[int] = ()

    def parts(self) -> list[bytes]:
        """Return each chunk as it is encoded."""
        if not self.number:
            return []
        if self.separator:
            return self.data.split(self.separator.encode())
        places = accumulate(self.lengths, initial=0)
        return [self.data[start:end] for start, end in pairwise(places)]

    def texts(self) -> list[str]:
        """Return each chunk as text; bytes that are not UTF-8 become U+FFFD."""
        if self.number and self.separator:
            try:
                return self.data.decode("utf-8", "surrogatepass").split(self.separator)
            except UnicodeDecodeError:
                pass  # Replace what is wrong in the one chunk that has it.
        return [decode_text(part) for part in self.parts()]


def join(chunks: Sequence[str]) -> Joined:
    """Join whole chunks. Halves of a surrogate pair in two chunks do not become a pair."""
    if not chunks:
        return Joined()
    text = "".join(chunks)
    for separator in SEPARATORS:
        if separator not in text:
            return Joined(encode_text(separator.join(chunks)), len(chunks), separator)
    parts = [encode_text(chunk) for chunk in chunks]
    return Joined(b"".join(parts), len(parts), "", tuple(map(len, parts)))
