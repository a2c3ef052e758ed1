"""The answers of ``stream_status``, ``cancel_stream`` and ``delete_stream``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from resumable_stream._text.endings import Status

if TYPE_CHECKING:
    from datetime import datetime

    from resumable_stream._text.endings import Ending


class StreamState(StrEnum):
    """The state of a stream."""

    NOT_FOUND = "not_found"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """The answer of ``stream_status``.

    Attributes:
        state: the state of the stream.
        error_type: the class name of a failed stream's exception, unless it is withheld.
        error_message: the text of a failed stream's exception, unless it is withheld.
        generation: the run that produces or produced the text; None if unknown.
        kept_until: until when the journal has the text of a stream that is over; None if it has
            not.
    """

    state: StreamState
    error_type: str | None = None
    error_message: str | None = None
    generation: int | None = None
    kept_until: datetime | None = None


class CancelResult(StrEnum):
    """The result of ``cancel_stream``."""

    CANCELLED = "cancelled"
    ALREADY_OVER = "already_over"
    NOT_FOUND = "not_found"
    NO_PRODUCER_ANSWERED = "no_producer_answered"


class DeleteResult(StrEnum):
    """The result of ``delete_stream``."""

    DELETED = "deleted"
    STILL_ACTIVE = "still_active"
    NOT_FOUND = "not_found"


def status_of(ending: Ending | None, generation: int | None, kept_until: int = 0) -> StreamStatus:
    """Return the status of a stream with this ending, or of an active stream without one.

    ``kept_until`` is in Unix time, 0 for a stream that is not kept.
    """
    if ending is None:
        return StreamStatus(StreamState.ACTIVE, generation=generation)
    return StreamStatus(
        StreamState(ending.status),
        ending.error_type,
        ending.error_message,
        generation,
        _moment(kept_until) if kept_until else None,
    )


def _moment(unix_time: int) -> datetime:
    # Imported here: most programs keep nothing, and need no calendar.
    from datetime import UTC, datetime  # noqa: PLC0415

    return datetime.fromtimestamp(unix_time, UTC)


def cancel_result(told: Status | None) -> CancelResult:
    """Return the result of a cancel that got this answer; None means that it got none."""
    match told:
        case Status.CANCELLED:
            return CancelResult.CANCELLED
        case None:
            return CancelResult.NO_PRODUCER_ANSWERED
        case _:
            return CancelResult.ALREADY_OVER
