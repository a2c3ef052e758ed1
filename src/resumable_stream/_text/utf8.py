"""Text as UTF-8: one chunk, or several chunks as one piece."""

from __future__ import annotations

from array import array
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def encode_text(text: str) -> bytes:
    """Encode as UTF-8 that also carries lone surrogates, which Python text may contain."""
    return text.encode("utf-8", "surrogatepass")


def decode_text(data: bytes) -> str:
    """Undo ``encode_text``; bytes that are not UTF-8 become U+FFFD."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def is_encodable(text: str) -> bool:
    """Return whether UTF-8 can encode the text, which then has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def to_well_formed(text: str) -> str:
    """Join surrogate pairs, and replace lone surrogates by U+FFFD, as JavaScript does."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def encode_run(chunks: Sequence[str]) -> tuple[bytes, array[int]]:
    """Encode chunks as one piece; also return where each ends."""
    data, lengths = encode_chunks(chunks)
    return data, array_of(accumulate(lengths))


def encode_chunks(chunks: Sequence[str]) -> tuple[bytes, list[int]]:
    """Encode chunks as one piece; also return how many bytes each has."""
    text = "".join(chunks)
    if text.isascii():
        return text.encode(), [*map(len, chunks)]
    # Each chunk on its own: two halves of a surrogate pair in two chunks must not become a pair.
    parts = [encode_text(chunk) for chunk in chunks]
    return b"".join(parts), [*map(len, parts)]


def cut_up(data: bytes, places: Iterable[int]) -> list[str]:
    """Split a piece of encoded text at the places, and decode each part."""
    if data.isascii():
        text = data.decode()
        return [text[start:end] for start, end in pairwise(places)]
    return [decode_text(data[start:end]) for start, end in pairwise(places)]


def array_of(numbers: Iterable[int]) -> array[int]:
    values = list(numbers)
    return array("I" if not values or values[-1] < 2**32 else "Q", values)
