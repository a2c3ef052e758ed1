"""An ending as the fields of a JSON object, in an end frame or in the outcome record."""

from __future__ import annotations

from typing import Any

from resumable_stream._protocol.fields import choice, dump, text_or_none
from resumable_stream._text.endings import Ending, Status
from resumable_stream._text.utf8 import to_well_formed

# An error's type and message are cut to this many bytes together.
MAX_ERROR_BYTES = 1024


def ending_fields(ending: Ending) -> dict[str, object]:
    """Return the part of an ending that remote peers learn, within ``MAX_ERROR_BYTES``."""
    fields: dict[str, object] = {"status": ending.status}
    if ending.error_type is not None:
        kind, text = _within_bounds(ending.error_type, ending.error_message or "")
        fields |= {"errorType": kind, "errorMessage": text}
    return fields


def ending_from(fields: dict[str, Any]) -> Ending:
    """Undo ``ending_fields``.

    Raises:
        MalformedError: the fields are not as specified.
    """
    status = choice(Status, fields.get("status"))
    if status is not Status.FAILED:
        return Ending(status)
    kind, text = text_or_none(fields.get("errorType")), text_or_none(fields.get("errorMessage"))
    return Ending(status) if kind is None else Ending(status, *_within_bounds(kind, text or ""))


def _within_bounds(kind: str, text: str) -> tuple[str, str]:
    """Cut an error's type and message to ``MAX_ERROR_BYTES``, as text that UTF-8 can encode."""
    kind = _shorten(kind, MAX_ERROR_BYTES // 4)
    return kind, _shorten(text, MAX_ERROR_BYTES - len(dump(kind)))


def _shorten(text: str, room: int) -> str:
    text = to_well_formed(text[:room])
    while len(dump(text)) > room:
        text = text[: len(text) * 3 // 4].rstrip("…") + "…"
    return text
