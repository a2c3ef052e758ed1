"""The answer to one HTTP request for a stream, for any web framework."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from resumable_stream._stream import NotFound, ResumableStream
from resumable_stream.errors import (
    BackendUnavailableError,
    ContextClosedError,
    InvalidArgumentError,
    InvalidSettingError,
    OutcomeUnknownError,
    StreamError,
    StreamExistsError,
)
from resumable_stream.sse._attaching import Attaching
from resumable_stream.sse._body import END_ID, Settings, SseBody
from resumable_stream.sse._event import to_json
from resumable_stream.sse._format import TEXT
from resumable_stream.sse._shutdown import watch_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from resumable_stream.sse._format import EventFormat
    from resumable_stream.sse._shutdown import ServerWatch

    Attach = Callable[[str | None], Awaitable[ResumableStream | NotFound | None]]

logger = logging.getLogger("resumable_stream")

# no-transform: a proxy that compresses also gathers what it compresses.
_STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
# A stream that is not found, or is over, may be started a moment later.
_HEADERS = {"Cache-Control": "no-store"}


@final
@dataclass(frozen=True, slots=True)
class SseReply:
    """A status, headers and a body, which you send in your framework's way.

    Attributes:
        status: 200 for a stream, 204 if the client should not come back, 404 if there is no such
            stream; 400, 409 and 503 as ``sse_reply`` says.
        headers: the response's headers, without those that concern the connection.
        body: blocks of whole events; send each one at once. ``SseBody`` says how to leave it.
    """

    status: int
    headers: Mapping[str, str]
    body: SseBody | _Once


class _Once:
    """A body of at most one block, known in advance."""

    def __init__(self, content: bytes) -> None:
        self._blocks = [content] if content else []

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._blocks:
            raise StopAsyncIteration
        return self._blocks.pop()

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        self._blocks.clear()


def last_event_id(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """Return the last event id that a client has sent, for ``last_event_id=``; None without one.

    A browser's ``EventSource`` sends it in a header when it comes back. Polyfills that cannot set
    headers use the query parameters ``lastEventId`` or ``Last-Event-ID``, which a page may also
    put into its URL.

    Args:
        headers: the request's headers, in a mapping that ignores case; every framework has one.
        query: the query parameters of the request.
    """
    return (
        headers.get("Last-Event-ID")
        or query.get("lastEventId")
        or query.get("Last-Event-ID")
        or None
    )


async def sse_reply(
    headers: Mapping[str, str],
    query: Mapping[str, str],
    attach: Attach,
    *,
    chunks: EventFormat = TEXT,
    heartbeat: float = 15.0,
    retry: float = 1.0,
    disclose_errors: bool = False,
) -> SseReply:
    """Answer a request with a stream of server-sent events that a browser resumes by itself.

    Each event's id is the stream's ``last_event_id``. A stream that has completed ends with the
    event ``done``, any other ending is the event ``stream-error``; both carry JSON and the id
    ``end``. A response that ends without either was cut, and the client should come back. When the
    server (uvicorn, hypercorn, granian) is being stopped, all its responses end so.

    Do not call it for a HEAD request: it does not see the method, and would start the stream.

    The statuses:

    * 200: a stream, or how it ended, if it did not complete.
    * 204: the stream has completed, or the client has received its ending before. ``EventSource``
      does not come back.
    * 400: the last event id was never given out, or another argument that a client can choose, such
      as the stream id, is invalid.
    * 404: there is no such stream.
    * 409: the stream id is taken (from ``create_new_resumable_stream``).
    * 503: the broker or this instance is not available. A client that comes back gets an empty 200
      instead, because ``EventSource`` gives up at every other status.

    Args:
        headers: the request's headers, in a mapping that ignores case.
        query: the query parameters of the request.
        attach: called with the client's last event id, or None; calls ``resumable_stream``,
            ``resume_existing_stream`` or ``create_new_resumable_stream``, and returns the result.
            If it waits (``wait=``), it is cancelled when the server is being stopped.
        chunks: what the stream's chunks are: ``TEXT``, ``JSON``, ``EVENTS``, ``UI_MESSAGES``, or a
            format of your own.
        heartbeat: seconds of silence after which a comment is sent, so that no proxy cuts the
            connection.
        retry: seconds that the client should wait before it comes back.
        disclose_errors: whether the client learns type and message of a source's exception.

    Raises:
        InvalidSettingError: a setting is outside its range, here or in ``attach``.
        ResumableStreamError: a mistake of the application, such as ``InvalidSourceError``.
    """
    settings = Settings(
        chunks=chunks, heartbeat=heartbeat, retry=retry, disclose_errors=disclose_errors
    )
    place = last_event_id(headers, query)
    if place == END_ID:
        return _refusal(204)
    server = watch_server()
    try:
        stream = await _attached(attach, place, server)
    except InvalidSettingError:
        raise  # The application's mistake, which no client can correct.
    except InvalidArgumentError as error:
        return _refusal(400, "invalid", str(error))
    except StreamExistsError as error:
        return _refusal(409, "exists", str(error))
    except StreamError as error:
        return _streaming(SseBody(None, settings, error), chunks)
    except (BackendUnavailableError, OutcomeUnknownError, ContextClosedError) as error:
        logger.warning("a client cannot be served now: %s", error)
        if place is not None:
            return _streaming(SseBody(None, settings, error), chunks)
        return _refusal(503, "unavailable", "try again", {"Retry-After": "1"})
    if stream is None:
        return _refusal(204)
    if isinstance(stream, NotFound):
        return _refusal(404, "not_found", "there is no such stream")
    return _streaming(SseBody(stream, settings, server=server), chunks)


async def _attached(
    attach: Attach, place: str | None, server: ServerWatch
) -> ResumableStream | NotFound | None:
    """Attach, which may wait for a stream that has not begun."""
    async with Attaching(server.add):
        return await attach(place)
    raise ContextClosedError("the server is being stopped")


def head_reply(chunks: EventFormat) -> SseReply:
    """Return the answer to HEAD: a stream's headers. No stream is started or joined."""
    return _streaming(_Once(b""), chunks)


def _streaming(body: SseBody | _Once, chunks: EventFormat) -> SseReply:
    return SseReply(200, _STREAM_HEADERS | dict(chunks.headers), body)


def _refusal(
    status: int, code: str = "", message: str = "", more: Mapping[str, str] | None = None
) -> SseReply:
    headers = _HEADERS | dict(more or {})
    if not code:
        return SseReply(status, headers, _Once(b""))
    content = to_json({"code": code, "message": message}).encode()
    return SseReply(status, headers | {"Content-Type": "application/json"}, _Once(content))
