"""The ways to send a stream of this library in a response of Starlette."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response, StreamingResponse

from benchmarks.agent.web.routes import application
from resumable_stream import ResumableStream
from resumable_stream.sse import sse_response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.applications import Starlette
    from starlette.requests import Request

    from benchmarks.agent.adapters.ours import Ours


def events(adapter: Ours) -> Starlette:
    """Send events with ``sse_response``."""

    async def answer(request: Request, stream: str) -> Response:
        return await sse_response(
            request,
            lambda place: adapter.elsewhere.resume_existing_stream(stream, last_event_id=place),
        )

    return application(answer, _status(adapter))


def chunks(adapter: Ours) -> Starlette:
    """Send the text, chunk by chunk."""
    return _text(adapter, lambda stream: stream)


def runs(adapter: Ours) -> Starlette:
    """Send the text in runs: all chunks that are there as one piece."""
    if not hasattr(ResumableStream, "runs"):
        raise NotImplementedError("this library cannot read in runs")

    async def body(stream: Any) -> AsyncIterator[str]:
        async for run in stream.runs():
            yield "".join(run)

    return _text(adapter, body)


def _text(adapter: Ours, body: Callable[[ResumableStream], AsyncIterator[str]]) -> Starlette:
    async def answer(request: Request, stream: str) -> Response:
        del request
        return StreamingResponse(body(await adapter.attach(stream)), media_type="text/plain")

    return application(answer, _status(adapter))


def _status(adapter: Ours) -> Any:
    async def status(stream: str) -> str:
        return (await adapter.elsewhere.stream_status(stream)).state

    return status
