"""Every error this library raises, under one base class.

::

    ResumableStreamError
    ├── InvalidArgumentError (ValueError)     an invalid argument
    │   ├── InvalidStreamIdError
    │   ├── InvalidOffsetError
    │   ├── InvalidEventIdError
    │   └── InvalidSettingError
    ├── InvalidSourceError (TypeError)        make_stream returned no stream of text
    ├── ContextClosedError (RuntimeError)     the context was closed
    ├── WrongEventLoopError (RuntimeError)    the context belongs to another loop, or there is none
    ├── BackendLookupError                    no backend could be opened for the URL
    │   ├── NoBackendError
    │   ├── UnknownSchemeError
    │   ├── DuplicateSchemeError
    │   ├── MissingDriverError
    │   └── UnsupportedDriverError
    ├── BackendError                          the broker, as an adapter reports it
    │   ├── BackendUnavailableError           certainly not executed
    │   │   ├── AccessDeniedError
    │   │   └── JournalFullError
    │   ├── OutcomeUnknownError               executed or not
    │   ├── WrongKeyTypeError                 another program uses the key
    │   ├── BackendFaultError                 a bug: trying again does not help
    │   ├── MessageTooLargeError (ValueError)
    │   └── RecordTooLargeError (ValueError)
    └── StreamError                           one stream, named by its stream_id
        ├── StreamExistsError
        ├── StreamFailedError
        ├── StreamCancelledError
        ├── ProducerLostError
        │   ├── StreamSupersededError
        │   └── HandshakeTimeoutError
        ├── OffsetOutOfRangeError
        └── StreamHistoryChangedError
"""

from __future__ import annotations

__all__ = [
    "AccessDeniedError",
    "BackendError",
    "BackendFaultError",
    "BackendLookupError",
    "BackendUnavailableError",
    "ContextClosedError",
    "DuplicateSchemeError",
    "HandshakeTimeoutError",
    "InvalidArgumentError",
    "InvalidEventIdError",
    "InvalidOffsetError",
    "InvalidSettingError",
    "InvalidSourceError",
    "InvalidStreamIdError",
    "JournalFullError",
    "MessageTooLargeError",
    "MissingDriverError",
    "NoBackendError",
    "OffsetOutOfRangeError",
    "OutcomeUnknownError",
    "ProducerLostError",
    "RecordTooLargeError",
    "ResumableStreamError",
    "StreamCancelledError",
    "StreamError",
    "StreamExistsError",
    "StreamFailedError",
    "StreamHistoryChangedError",
    "StreamSupersededError",
    "UnknownSchemeError",
    "UnsupportedDriverError",
    "WrongEventLoopError",
    "WrongKeyTypeError",
]


class ResumableStreamError(Exception):
    """The base of everything that this library raises."""


class InvalidArgumentError(ResumableStreamError, ValueError):
    """An invalid argument: the message names the value and what to pass instead."""


class InvalidStreamIdError(InvalidArgumentError):
    """A stream id is text of 1 to 512 characters that UTF-8 can encode."""


class InvalidOffsetError(InvalidArgumentError):
    """An offset is a whole number, not negative, and not inside a surrogate pair."""


class InvalidEventIdError(InvalidArgumentError):
    """A ``last_event_id`` that this library never issued."""


class InvalidSettingError(InvalidArgumentError):
    """A setting of a context or backend that is unknown, of the wrong kind or out of range."""


class InvalidSourceError(ResumableStreamError, TypeError):
    """``make_stream`` is not callable, gives no async iterable, or yields not only str."""


class ContextClosedError(ResumableStreamError, RuntimeError):
    """The context was closed, and not entered again."""


class WrongEventLoopError(ResumableStreamError, RuntimeError):
    """The context is in use by another event loop that is not closed, or this one is not asyncio's.

    A mistake of the program, not an outage: create a context for each loop.
    """


class BackendLookupError(ResumableStreamError):
    """No backend could be opened for what was asked."""


class NoBackendError(BackendLookupError, ValueError):
    """Neither a URL nor a backend was given, and the environment names none."""


class UnknownSchemeError(BackendLookupError, ValueError):
    """No installed package registers a backend for the URL's scheme."""


class DuplicateSchemeError(BackendLookupError):
    """Two installed packages register a backend for the same URL scheme."""


class MissingDriverError(BackendLookupError, ImportError):
    """The scheme is known, but the client library that its backend needs is not installed."""


class UnsupportedDriverError(BackendLookupError):
    """The installed client library is too old for its backend, or not as it expects inside.

    The message names the versions found, those tested, and the command that installs one of these.
    """


class BackendError(ResumableStreamError):
    """The broker failed; the driver's own error is the ``__cause__``."""


class BackendUnavailableError(BackendError):
    """The operation was certainly not executed: the broker is unreachable, or refused it."""


class AccessDeniedError(BackendUnavailableError):
    """The broker's user lacks a right, which the message names."""


class JournalFullError(BackendUnavailableError):
    """The journal has no room for the record; nothing was written.

    The message names the limit of the store that was reached, and how to raise it.
    """


class OutcomeUnknownError(BackendError):
    """The connection broke under the operation, which may or may not have been executed."""


class WrongKeyTypeError(BackendError):
    """A key holds no plain value: choose a ``key_prefix`` that no other program uses."""


class BackendFaultError(BackendError):
    """Connecting failed because of a bug, not an outage; the ``__cause__`` tells where.

    It may be in the adapter, in the driver, or in the user's own credential provider.
    """


class MessageTooLargeError(BackendError, ValueError):
    """A message exceeds the backend's ``max_message_size``; nothing was sent."""


class RecordTooLargeError(BackendError, ValueError):
    """A record exceeds the journal's ``max_record_size``; nothing was written."""


class StreamError(ResumableStreamError):
    """Something about one stream.

    Attributes:
        stream_id: the stream's name, as the caller gave it.
    """

    def __init__(self, stream_id: str, message: str) -> None:
        super().__init__(message)
        self.stream_id = stream_id

    def __reduce__(self) -> tuple[object, ...]:
        # Not every subclass takes (message,): it is made again without its ``__init__``.
        return (Exception.__new__, (type(self), *self.args), self.__dict__)


class StreamExistsError(StreamError):
    """The stream id is taken, by a running stream or by one that ended and is still remembered."""


class StreamFailedError(StreamError):
    """The source raised.

    For readers beside the producer the source's own exception is the ``__cause__``. Remote readers
    learn its type and message only, and not even these where the producer's context was made with
    ``disclose_errors=False``.

    Attributes:
        error_type: the exception's class name, or None where it is withheld.
        error_message: the exception's text, or None where it is withheld.
    """

    def __init__(
        self, stream_id: str, error_type: str | None = None, error_message: str | None = None
    ) -> None:
        shown = f": {error_type}: {error_message}" if error_type else ""
        super().__init__(stream_id, f"the source of stream {stream_id!r} failed{shown}")
        self.error_type = error_type
        self.error_message = error_message


class StreamCancelledError(StreamError):
    """The stream was stopped by ``cancel_stream``. Not an ``asyncio.CancelledError``."""

    def __init__(self, stream_id: str) -> None:
        super().__init__(stream_id, f"stream {stream_id!r} was cancelled")


class ProducerLostError(StreamError):
    """The producer went away before the stream's end.

    Attributes:
        offset: where this reader stopped, in the context's offset unit.
    """

    def __init__(self, stream_id: str, offset: int, message: str | None = None) -> None:
        super().__init__(
            stream_id,
            message
            or f"the producer of stream {stream_id!r} is gone; this reader had reached {offset}",
        )
        self.offset = offset


class StreamSupersededError(ProducerLostError):
    """Another producer holds the stream id now: this generation's text ends here, unfinished."""

    def __init__(self, stream_id: str, offset: int) -> None:
        super().__init__(
            stream_id,
            offset,
            f"another producer took over stream {stream_id!r}; "
            f"this generation ended unfinished at {offset}",
        )


class HandshakeTimeoutError(ProducerLostError):
    """The stream is marked active, but no producer answered within the handshake timeout."""

    def __init__(self, stream_id: str, offset: int, timeout: float) -> None:
        super().__init__(
            stream_id,
            offset,
            f"stream {stream_id!r} is marked active, but its producer did not answer within "
            f"{timeout:g} s; try again once its lease has run out",
        )


class OffsetOutOfRangeError(StreamError):
    """The text at the offset is no longer there: not buffered, nor kept in a journal.

    Attributes:
        offset: the offset asked for.
        start: the first offset that is still there; None if that is not known.
    """

    def __init__(self, stream_id: str, offset: int, start: int | None = None) -> None:
        kept = "" if start is None else f"; its text is kept from offset {start} on"
        super().__init__(
            stream_id, f"offset {offset} of stream {stream_id!r} is no longer buffered{kept}"
        )
        self.offset = offset
        self.start = start


class StreamHistoryChangedError(StreamError):
    """The ``last_event_id`` belongs to an earlier run of this stream id: read it from the start.

    Attributes:
        kept: how many chunks of that run the stream has gone on from, if it was continued after
            its producer was lost, and less was kept than the event id has seen; else None.
    """

    def __init__(self, stream_id: str, kept: int | None = None) -> None:
        self.kept = kept
        what = "the last event id belongs to an earlier run of it"
        if kept is not None:
            what = f"its producer was lost, and it has gone on after {kept} chunks of that text"
        super().__init__(
            stream_id,
            f"the history of stream {stream_id!r} has changed: {what}; discard what was read and "
            "start at offset 0",
        )
