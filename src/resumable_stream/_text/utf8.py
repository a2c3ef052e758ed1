"""Text as bytes: one chunk, or many as one piece of UTF-8."""

from __future__ import annotations

from array import array
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def encode_text(text: str) -> bytes:
    """UTF-8 that also carries lone surrogates, which Python text may contain."""
    return text.encode("utf-8", "surrogatepass")


def decode_text(data: bytes) -> str:
    """Undo ``encode_text``; bytes that are no UTF-8 become U+FFFD."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def is_encodable(text: str) -> bool:
    """Tell whether UTF-8 can encode the text: it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def to_well_formed(text: str) -> str:
    """Join split surrogate pairs and replace lone surrogates by U+FFFD, as JavaScript does."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def encode_run(chunks: Sequence[str]) -> tuple[bytes, array[int]]:
    """Encode chunks as one; say where each ends."""
    data, lengths = encode_chunks(chunks)
    return data, array_of(accumulate(lengths))


def encode_chunks(chunks: Sequence[str]) -> tuple[bytes, list[int]]:
    """Encode chunks as one; say how many bytes each has."""
    text = "".join(chunks)
    if text.isascii():
        return text.encode(), [*map(len, chunks)]
    # Each on its own: at a seam of two, halves of a surrogate pair must not become one.
    parts = [encode_text(chunk) for chunk in chunks]
    return b"".join(parts), [*map(len, parts)]


def cut_up(data: bytes, places: Iterable[int]) -> list[str]:
    """Decode what lies between each two places of text that was encoded as one."""
    if data.isascii():
        text = data.decode()
        return [text[start:end] for start, end in pairwise(places)]
    return [decode_text(data[start:end]) for start, end in pairwise(places)]


def array_of(numbers: Iterable[int]) -> array[int]:
    values = list(numbers)
    return array("I" if not values or values[-1] < 2**32 else "Q", values)
