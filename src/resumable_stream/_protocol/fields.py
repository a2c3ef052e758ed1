"""Write JSON, and read what anybody may have written: within bounds, one error for all mistakes.

Of a repeated field the last one counts, as in JavaScript. The functions below check what a field
must be. Their errors never show a value, because it may be private text.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from resumable_stream._text.offsets import MAX_SAFE_INTEGER

if TYPE_CHECKING:
    from enum import StrEnum

    Choice = TypeVar("Choice", bound=StrEnum)

# Longer JSON is refused unread, because parsing it would block the event loop.
MAX_JSON = 1024 * 1024


class MalformedError(ValueError):
    """The JSON is not what the protocol specifies."""


def read_object(data: bytes | str) -> dict[str, Any]:
    """Return the fields of a JSON object; bytes are UTF-8.

    Raises:
        MalformedError: this is no JSON object, is longer than ``MAX_JSON``, or is nested too deep.
    """
    if len(data) > MAX_JSON:
        raise MalformedError(f"{len(data)} of JSON is more than {MAX_JSON}")
    try:
        value = _decode(data.decode() if isinstance(data, bytes) else data)
    except (ValueError, RecursionError) as error:
        # Also raised at the interpreter's own limits, of digits in a number and of depth.
        raise MalformedError("this is no JSON that can be read") from error
    if type(value) is not dict:
        raise MalformedError("this is no JSON object")
    return value


def natural(value: object, default: int | None = None) -> int:
    """Return the value if it is a whole number that every peer reads exactly, and not a bool.

    With a default, the field may be absent or null.
    """
    if value is None and default is not None:
        return default
    if type(value) is not int or not 0 <= value <= MAX_SAFE_INTEGER:
        raise MalformedError("a field is not a whole number from 0 to 2**53 - 1")
    return value


def choice(choices: type[Choice], value: object, default: Choice | None = None) -> Choice:
    """Return the choice with this text; with a default, the field may be absent or null."""
    if value is None and default is not None:
        return default
    # The enum's own error would show the value, and might be very long.
    if type(value) is str:
        for known in choices:
            if value == known:
                return known
    raise MalformedError(f"a field is not one of {', '.join(choices)}")


def text_or_none(value: object) -> str | None:
    """Return the value if it is text; the field may be absent or null."""
    if value is not None and type(value) is not str:
        raise MalformedError("a field is not text")
    return value


def dump(value: object) -> bytes:
    """Return the value as compact JSON in UTF-8."""
    return _encode(value).encode()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse).decode
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
