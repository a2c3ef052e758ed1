"""Server-sent streams that outlive the connection.

The producer runs as a background task. A client that comes back, to any instance, with the offset
that it had reached gets exactly the rest. Start with ``create_resumable_stream_context``.
"""

from __future__ import annotations

from resumable_stream._context import ResumableStreamContext
from resumable_stream._continuing import SoFar
from resumable_stream._conversations import Conversations, Turn
from resumable_stream._factory import create_resumable_stream_context
from resumable_stream._options import Durability, Options
from resumable_stream._owners import StreamOwners, owned_stream_id
from resumable_stream._registry import find_journal_opener, find_opener
from resumable_stream._status import CancelResult, DeleteResult, StreamState, StreamStatus
from resumable_stream._stream import NOT_FOUND, NotFound, ResumableStream
from resumable_stream._stream_end import StreamEnd, closing_status
from resumable_stream._text.endings import Status as EndStatus
from resumable_stream._text.offsets import OffsetUnit
from resumable_stream.errors import (
    AccessDeniedError,
    BackendError,
    BackendFaultError,
    BackendLookupError,
    BackendUnavailableError,
    ContextClosedError,
    DuplicateSchemeError,
    HandshakeTimeoutError,
    InvalidArgumentError,
    InvalidEventIdError,
    InvalidOffsetError,
    InvalidSettingError,
    InvalidSourceError,
    InvalidStreamIdError,
    JournalFullError,
    MessageTooLargeError,
    MissingDriverError,
    NoBackendError,
    OffsetOutOfRangeError,
    OutcomeUnknownError,
    ProducerLostError,
    RecordTooLargeError,
    ResumableStreamError,
    StreamCancelledError,
    StreamError,
    StreamExistsError,
    StreamFailedError,
    StreamHistoryChangedError,
    StreamSupersededError,
    UnknownSchemeError,
    UnsupportedDriverError,
    WrongEventLoopError,
    WrongKeyTypeError,
)
from resumable_stream.journal import Journal, OpenedJournal
from resumable_stream.ports import (
    Backend,
    KeyValue,
    Loss,
    PubSub,
    Renewals,
    SubscriberCounts,
    Subscription,
)

__all__ = [
    "NOT_FOUND",
    "AccessDeniedError",
    "Backend",
    "BackendError",
    "BackendFaultError",
    "BackendLookupError",
    "BackendUnavailableError",
    "CancelResult",
    "ContextClosedError",
    "Conversations",
    "DeleteResult",
    "DuplicateSchemeError",
    "Durability",
    "EndStatus",
    "HandshakeTimeoutError",
    "InvalidArgumentError",
    "InvalidEventIdError",
    "InvalidOffsetError",
    "InvalidSettingError",
    "InvalidSourceError",
    "InvalidStreamIdError",
    "Journal",
    "JournalFullError",
    "KeyValue",
    "Loss",
    "MessageTooLargeError",
    "MissingDriverError",
    "NoBackendError",
    "NotFound",
    "OffsetOutOfRangeError",
    "OffsetUnit",
    "OpenedJournal",
    "Options",
    "OutcomeUnknownError",
    "ProducerLostError",
    "PubSub",
    "RecordTooLargeError",
    "Renewals",
    "ResumableStream",
    "ResumableStreamContext",
    "ResumableStreamError",
    "SoFar",
    "StreamCancelledError",
    "StreamEnd",
    "StreamError",
    "StreamExistsError",
    "StreamFailedError",
    "StreamHistoryChangedError",
    "StreamOwners",
    "StreamState",
    "StreamStatus",
    "StreamSupersededError",
    "SubscriberCounts",
    "Subscription",
    "Turn",
    "UnknownSchemeError",
    "UnsupportedDriverError",
    "WrongEventLoopError",
    "WrongKeyTypeError",
    "closing_status",
    "create_resumable_stream_context",
    "find_journal_opener",
    "find_opener",
    "owned_stream_id",
]
