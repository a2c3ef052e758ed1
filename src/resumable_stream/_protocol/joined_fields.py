"""How a frame's header describes its text: the parts' number, and what stands between them."""

from __future__ import annotations

from typing import Any

from resumable_stream._protocol.fields import MalformedError, dump, natural
from resumable_stream._text.joined import SEPARATORS, Joined

# A decoded chunk takes many times the bytes that it has in a frame, so their number is bounded.
MAX_PARTS = 16 * 1024

# A header without a separator means the first one.
_SEPARATOR_FIELDS = {SEPARATORS[0]: ""} | {
    separator: f',"separator":{dump(separator).decode()}' for separator in SEPARATORS[1:]
}

# The code in ``\u00..`` of a separator that a header names.
SEPARATOR_CODES = {None: SEPARATORS[0]} | {b"%x" % ord(mark): mark for mark in SEPARATORS[1:]}


def joined_fields(joined: Joined) -> str:
    """Return the fields, formatted by hand because a JSON encoder takes three times as long."""
    if joined.lengths:
        division = f',"lengths":{list(joined.lengths)}'.replace(" ", "")
    else:
        division = _SEPARATOR_FIELDS[joined.separator]
    return f'"count":{joined.number},"size":{len(joined.data)}{division}'


def joined_from(header: dict[str, Any], data: bytes) -> Joined:
    """Undo ``joined_fields``; the text is checked, and neither decoded nor split.

    Raises:
        MalformedError: the fields are not as specified, or the text is not what they describe.
    """
    number, size = natural(header.get("count")), natural(header.get("size"))
    separator, lengths = header.get("separator"), header.get("lengths")
    if lengths is None or not number:
        if separator is None or not number:
            separator = SEPARATORS[0]
        elif type(separator) is not str or separator not in _SEPARATOR_FIELDS:
            raise MalformedError("an unknown separator")
        return divided(data, number, size, separator)
    _check_size(data, number, size)
    if separator is not None or not _add_up(lengths, number, size):
        raise MalformedError("the lengths do not divide the text")
    return Joined(data, number, "", tuple(lengths))


def divided(data: bytes, number: int, size: int, separator: str) -> Joined:
    """Return the chunks with this separator between each two.

    Raises:
        MalformedError: the text is not what ``number`` and ``size`` describe.
    """
    _check_size(data, number, size)
    if not number:
        return Joined()
    if data.count(separator.encode()) != number - 1:
        raise MalformedError("the separators do not match the count")
    return Joined(data, number, separator)


def _check_size(data: bytes, number: int, size: int) -> None:
    if number > MAX_PARTS:
        raise MalformedError(f"a frame has at most {MAX_PARTS} parts")
    if size != len(data) or (data and not number):
        raise MalformedError("the text has another size")


def _add_up(lengths: object, number: int, size: int) -> bool:
    if type(lengths) is not list or not set(map(type, lengths)) <= {int}:
        return False
    return len(lengths) == number and sum(lengths) == size and min(lengths, default=0) >= 0
