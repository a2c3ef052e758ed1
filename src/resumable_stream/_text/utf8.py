"""Text as UTF-8 that any Python text survives."""

from __future__ import annotations


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
