"""How a stream ended, and the error that says so."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from resumable_stream.errors import (
    ProducerLostError,
    StreamCancelledError,
    StreamError,
    StreamFailedError,
    StreamSupersededError,
)


class Status(StrEnum):
    """How a stream ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    SUPERSEDED = "superseded"


class Ending(NamedTuple):
    """The one truthful end of a stream, the same for all its readers."""

    status: Status
    error_type: str | None = None
    error_message: str | None = None
    cause: BaseException | None = None


def error_of(stream_id: str, ending: Ending, offset: int) -> StreamError | None:
    """Return the error for a reader that has reached ``offset``; None if the stream completed."""
    match ending.status:
        case Status.COMPLETED:
            return None
        case Status.FAILED:
            failed = StreamFailedError(stream_id, ending.error_type, ending.error_message)
            failed.__cause__ = ending.cause
            return failed
        case Status.CANCELLED:
            return StreamCancelledError(stream_id)
        case Status.LOST:
            return ProducerLostError(stream_id, offset)
        case Status.SUPERSEDED:
            return StreamSupersededError(stream_id, offset)
