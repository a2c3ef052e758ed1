"""The reply as a response of Starlette, and so of FastAPI."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

try:
    import anyio
    from starlette.responses import Response, StreamingResponse
except ImportError as error:
    raise ImportError(
        "sse_response needs Starlette, which is not installed; "
        "run: pip install 'resumable-stream[sse]'"
    ) from error

from resumable_stream.sse._attaching import Attaching
from resumable_stream.sse._format import TEXT
from resumable_stream.sse._reply import head_reply, sse_reply

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from resumable_stream.sse._format import EventFormat
    from resumable_stream.sse._reply import Attach, SseReply

logger = logging.getLogger("resumable_stream")

# A remote reader sends its producer a leave message, over a broker that may be slow.
_LEAVE_TIMEOUT = 5.0


async def sse_response(
    request: Request,
    attach: Attach,
    *,
    chunks: EventFormat = TEXT,
    heartbeat: float = 15.0,
    retry: float = 1.0,
    disclose_errors: bool = False,
) -> Response:
    """Answer a request of Starlette or FastAPI with a stream that a browser resumes by itself.

    It does what ``sse_reply`` does, with the request's own headers and query parameters. When the
    client goes away, the server is being stopped (uvicorn, hypercorn and granian), or the response
    is cancelled, the reader leaves the stream at once; the stream goes on. HEAD gets the headers of
    a stream, and ``attach`` is not called. An ``attach`` that waits (``wait=``) is cancelled when
    the client of a GET goes away, or the server is being stopped.
    """
    if request.method == "HEAD":
        return _SseResponse(head_reply(chunks))
    listening: set[asyncio.Task[None]] = set()

    def listen(attaching: Attaching) -> None:
        # Who listens takes a body from who reads it; a request with GET has none.
        if request.method == "GET":
            listening.add(asyncio.create_task(_interrupt_with_client(request, attaching)))

    try:
        async with Attaching(listen):
            reply = await sse_reply(
                request.headers,
                request.query_params,
                attach,
                chunks=chunks,
                heartbeat=heartbeat,
                retry=retry,
                disclose_errors=disclose_errors,
            )
            return _SseResponse(reply)
    finally:
        for task in listening:
            task.cancel()
    return Response(status_code=204)  # which nobody gets


async def _interrupt_with_client(request: Request, attaching: Attaching) -> None:
    try:
        while (await request.receive())["type"] != "http.disconnect":
            pass
    except Exception as error:  # noqa: BLE001 - a middleware's; without it the wait ends in time
        logger.debug("it is not known whether a client that waits has left: %r", error)
    else:
        attaching.interrupt()


class _SseResponse(StreamingResponse):
    """A streaming response that leaves the stream on every path.

    Starlette's own does not close its body. On servers of ASGI 2.4 it learns only when it sends the
    next block that the client has gone, and a silent stream may send no block for a long time.
    """

    def __init__(self, reply: SseReply) -> None:
        super().__init__(reply.body, reply.status, reply.headers)
        self._body = reply.body

    async def __call__(
        self,
        scope: Scope,  # noqa: ARG002 - ASGI's signature
        receive: Receive,
        send: Send,
    ) -> None:
        loop = asyncio.get_running_loop()
        failure: Exception | None = None

        async def leave_with_client() -> None:
            nonlocal failure
            try:
                await self.listen_for_disconnect(receive)
            except Exception as error:  # noqa: BLE001 - raised below, in the response's own task
                failure = error
            sending.reschedule(loop.time())

        watching = loop.create_task(leave_with_client())
        try:
            # Without a limit, until ``leave_with_client`` sets one.
            async with asyncio.timeout(None) as sending:
                await self.stream_response(send)
        except OSError:
            pass  # The client has gone: a TimeoutError, or what a server of ASGI 2.4 raises.
        finally:
            watching.cancel()
            with anyio.move_on_after(_LEAVE_TIMEOUT, shield=True):
                await self._body.aclose()
                if not watching.done():
                    await asyncio.wait({watching})
        if failure is not None:
            raise failure
        if self.background is not None:
            await self.background()
