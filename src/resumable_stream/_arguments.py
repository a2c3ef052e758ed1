"""Checks of what callers pass, before anything is done."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, SupportsIndex

from resumable_stream._protocol.places import EventId, Start
from resumable_stream._text.offsets import check_offset
from resumable_stream._text.utf8 import is_encodable
from resumable_stream.errors import InvalidArgumentError, InvalidStreamIdError

if TYPE_CHECKING:
    from resumable_stream._stream_end import OnEnd

_MAX_ID = 512
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check_id(stream_id: object) -> None:
    if not isinstance(stream_id, str) or not 0 < len(stream_id) <= _MAX_ID:
        raise InvalidStreamIdError(
            f"stream id {stream_id!r:.80} must be text of 1 to {_MAX_ID} characters"
        )
    if _CONTROL.search(stream_id) or not is_encodable(stream_id):
        raise InvalidStreamIdError(
            f"stream id {stream_id!r:.80} has control characters or lone surrogates: leave them out"
        )


def check_on_end(on_end: OnEnd | None) -> None:
    if on_end is not None and not callable(on_end):
        raise InvalidArgumentError(
            f"on_end is {type(on_end).__name__}, which cannot be called: "
            "pass a function that takes a StreamEnd"
        )


def check_wait(wait: float) -> None:
    if not _is_duration(wait) or wait == math.inf:
        raise InvalidArgumentError(
            f"wait {wait!r:.80} must be 0 or more seconds, and end: pass how long to wait for a "
            "stream that has not begun"
        )


def check_drain_timeout(drain_timeout: float | None) -> None:
    if drain_timeout is not None and not _is_duration(drain_timeout):
        raise InvalidArgumentError(
            f"drain_timeout {drain_timeout!r:.80} must be 0 or more seconds: leave it "
            "out for the context's own"
        )


def start_at(skip_characters: SupportsIndex | None, last_event_id: str | None) -> Start:
    if last_event_id is not None:
        return Start(event_id=EventId.parse(last_event_id), named=True)
    return Start(check_offset(skip_characters), named=skip_characters is not None)


def _is_duration(value: object) -> bool:
    """Tell whether the value is a number of seconds; it is none if it is not a number (NaN)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
