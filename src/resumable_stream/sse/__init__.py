"""Streams as server-sent events that a browser's own ``EventSource`` resumes.

``sse_response`` answers a request of Starlette or FastAPI, ``sse_reply`` a request of any
framework. A source yields text; a source wrapped in ``as_events`` yields ``ServerSentEvent`` or
anything that JSON can express.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resumable_stream.sse._body import SseBody
from resumable_stream.sse._event import ServerSentEvent, as_events, encode_event
from resumable_stream.sse._format import EVENTS, JSON, TEXT, EventFormat
from resumable_stream.sse._reply import SseReply, last_event_id, sse_reply
from resumable_stream.sse._ui_messages import UI_MESSAGES

if TYPE_CHECKING:
    from resumable_stream.sse._starlette import sse_response

__all__ = [
    "EVENTS",
    "JSON",
    "TEXT",
    "UI_MESSAGES",
    "EventFormat",
    "ServerSentEvent",
    "SseBody",
    "SseReply",
    "as_events",
    "encode_event",
    "last_event_id",
    "sse_reply",
    "sse_response",
]


def __getattr__(name: str) -> Any:
    # The only name that needs Starlette.
    if name == "sse_response":
        from resumable_stream.sse._starlette import sse_response  # noqa: PLC0415

        return sse_response
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
