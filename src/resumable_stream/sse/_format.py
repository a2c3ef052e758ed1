"""How the chunks of a stream, and its ending, become events."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from resumable_stream.errors import (
    HandshakeTimeoutError,
    InvalidArgumentError,
    OffsetOutOfRangeError,
    ProducerLostError,
    ResumableStreamError,
    StreamCancelledError,
    StreamFailedError,
    StreamHistoryChangedError,
    StreamSupersededError,
)
from resumable_stream.sse._event import ServerSentEvent, encode_event, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

DONE_EVENT = "done"
# Not "error": under that name a browser's EventSource reports its own connection errors.
ERROR_EVENT = "stream-error"

# The first class that matches an error counts.
_ENDINGS: tuple[tuple[type[ResumableStreamError], str, str], ...] = (
    (StreamFailedError, "failed", "the source of this stream failed"),
    (StreamCancelledError, "cancelled", "this stream was cancelled"),
    (StreamSupersededError, "superseded", "another producer has taken this stream over"),
    (HandshakeTimeoutError, "no_answer", "the producer of this stream does not answer"),
    (ProducerLostError, "producer_lost", "the producer of this stream is gone"),
    (OffsetOutOfRangeError, "trimmed", "the text to continue with is no longer kept"),
    (StreamHistoryChangedError, "history_changed", "this stream was started again, or is gone"),
    (InvalidArgumentError, "invalid", "this place in the stream does not exist"),
)


class EventFormat:
    """Each chunk is text, sent as the data of one event; clients get LF for every CR and CRLF.

    A subclass overrides what its clients expect to be different. Every method returns an event as
    text, complete except for its ``id``, as ``encode_event`` does; "" means no event. The same
    chunk must always give the same text.

    Attributes:
        headers: additional headers of the response.
    """

    headers: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def chunk(self, chunk: str) -> str:
        """Return the event that a chunk becomes."""
        return encode_event(chunk)

    def done(self) -> str:
        """Return the last event of a stream that has completed, when all of its text was sent."""
        return encode_event(ServerSentEvent({"code": "completed"}, event=DONE_EVENT))

    def error(self, details: Mapping[str, object]) -> str:
        """Return the last event of a stream that ended in any other way.

        Args:
            details: ``code`` and ``message``; also ``error_type`` and ``error_message``, after a
                failure that may be disclosed.
        """
        return encode_event(ServerSentEvent(details, event=ERROR_EVENT))

    def interrupted(self) -> str:
        """Return the last event of a response that ends although its stream goes on.

        By default there is no such event: ``EventSource`` sees a cut connection and comes back.
        """
        return ""


class _JsonFormat(EventFormat):
    """Each chunk is text, sent as a JSON string: ``JSON.parse`` gives back exactly that text."""

    def chunk(self, chunk: str) -> str:
        return encode_event(to_json(chunk))


class _WholeEvents(EventFormat):
    """Each chunk is a complete event, written by ``as_events`` or by the source itself."""

    def chunk(self, chunk: str) -> str:
        return chunk


TEXT = EventFormat()
JSON = _JsonFormat()
EVENTS = _WholeEvents()


def details_of(error: ResumableStreamError, *, disclose: bool) -> dict[str, object] | None:
    """Return what a client is told of an ending; None if the error does not end the stream."""
    for kind, code, message in _ENDINGS:
        if isinstance(error, kind):
            told: dict[str, object] = {"code": code, "message": message}
            if disclose and isinstance(error, StreamFailedError):
                told |= {"error_type": error.error_type, "error_message": error.error_message}
            return told
    return None
