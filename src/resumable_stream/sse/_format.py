"""What the chunks of a stream, and its ending, look like as events."""

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

# The first that fits counts.
_ENDINGS: tuple[tuple[type[ResumableStreamError], str, str], ...] = (
    (StreamFailedError, "failed", "the source of this stream failed"),
    (StreamCancelledError, "cancelled", "this stream was cancelled"),
    (StreamSupersededError, "superseded", "this stream was started anew"),
    (HandshakeTimeoutError, "no_answer", "the producer of this stream does not answer"),
    (ProducerLostError, "producer_lost", "the producer of this stream is gone"),
    (OffsetOutOfRangeError, "trimmed", "the text to continue with is no longer kept"),
    (StreamHistoryChangedError, "history_changed", "this stream was started anew, or is gone"),
    (InvalidArgumentError, "invalid", "this place in the stream does not exist"),
)


class EventFormat:
    """Each chunk is text, the data of one event, in which clients get every CR and CRLF as LF.

    A subclass changes what its clients expect otherwise. Every method returns an event as text,
    complete but for its ``id``, such as ``encode_event`` does; "" is no event. The same chunk must
    always give the same text.

    Attributes:
        headers: what the response carries besides those that keep it flowing.
    """

    headers: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def chunk(self, chunk: str) -> str:
        """Return the event that a chunk becomes."""
        return encode_event(chunk)

    def done(self) -> str:
        """Return the last event of a stream that has completed: all of its text was sent."""
        return encode_event(ServerSentEvent({"code": "completed"}, event=DONE_EVENT))

    def error(self, details: Mapping[str, object]) -> str:
        """Return the last event of a stream that ended in any other way.

        Args:
            details: ``code`` and ``message``; after a failure that may be disclosed also
                ``error_type`` and ``error_message``.
        """
        return encode_event(ServerSentEvent(details, event=ERROR_EVENT))

    def interrupted(self) -> str:
        """Return the last event of an answer that ends before its stream, which goes on elsewhere.

        By default there is none: to ``EventSource`` the connection was cut, and it comes back.
        """
        return ""


class _JsonFormat(EventFormat):
    """Each chunk is text, sent as a JSON string: ``JSON.parse`` gives exactly the same text."""

    def chunk(self, chunk: str) -> str:
        return encode_event(to_json(chunk))


class _WholeEvents(EventFormat):
    """Each chunk is one complete event already, as ``as_events`` or the source itself writes it."""

    def chunk(self, chunk: str) -> str:
        return chunk


TEXT = EventFormat()
JSON = _JsonFormat()
EVENTS = _WholeEvents()


def details_of(error: ResumableStreamError, *, disclose: bool) -> dict[str, object] | None:
    """Return what a client is told of an ending; None if the stream has not ended by it."""
    for kind, code, message in _ENDINGS:
        if isinstance(error, kind):
            told: dict[str, object] = {"code": code, "message": message}
            if disclose and isinstance(error, StreamFailedError):
                told |= {"error_type": error.error_type, "error_message": error.error_message}
            return told
    return None
