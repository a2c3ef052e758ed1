"""JSON that anybody may have written: read within bounds, with one error for all that is wrong.

An object's fields come as JSON gives them, of a repeated one the last, as in JavaScript. What a
field must be, the functions below say. None of them shows a value: it may be anybody's text.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from resumable_stream._text.offsets import MAX_SAFE_INTEGER

if TYPE_CHECKING:
    from enum import StrEnum

    Choice = TypeVar("Choice", bound=StrEnum)

# What is longer is refused unread: parsing it would hold up the event loop.
MAX_JSON = 1024 * 1024


class MalformedError(ValueError):
    """It is not what the protocol says it is."""


def read_object(data: bytes | str) -> dict[str, Any]:
    """Return the fields of a JSON object, which bytes hold as UTF-8.

    Raises:
        MalformedError: it is not, or is longer than ``MAX_JSON``, or nested too deep.
    """
    if len(data) > MAX_JSON:
        raise MalformedError(f"{len(data)} of JSON is more than {MAX_JSON}")
    try:
        value = _decode(data.decode() if isinstance(data, bytes) else data)
    except (ValueError, RecursionError) as error:
        # The interpreter's own limits are among them: of digits in a number, and of depth.
        raise MalformedError("this is no JSON that can be read") from error
    if type(value) is not dict:
        raise MalformedError("this is no JSON object")
    return value


def natural(value: object, default: int | None = None) -> int:
    """Check for a whole number that every peer can read exactly; a bool does not count as one.

    With a default, the field may be absent or null.
    """
    if value is None and default is not None:
        return default
    if type(value) is not int or not 0 <= value <= MAX_SAFE_INTEGER:
        raise MalformedError("a field is not a whole number from 0 to 2**53 - 1")
    return value


def choice(choices: type[Choice], value: object, default: Choice | None = None) -> Choice:
    """Check for one of the choices' texts; with a default, the field may be absent or null."""
    if value is None and default is not None:
        return default
    # Not left to the enum, whose error would show the value, however deep it is.
    if type(value) is str:
        for known in choices:
            if value == known:
                return known
    raise MalformedError(f"a field is not one of {', '.join(choices)}")


def text_or_none(value: object) -> str | None:
    """Check for text; a field may be absent or null."""
    if value is not None and type(value) is not str:
        raise MalformedError("a field is not text")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse).decode
