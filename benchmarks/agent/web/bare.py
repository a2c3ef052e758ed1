"""What one would write without this library: sse-starlette, and nothing but Starlette."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_starlette import EventSourceResponse
from starlette.responses import Response, StreamingResponse

from benchmarks.agent.web.routes import application

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.applications import Starlette
    from starlette.requests import Request

    from benchmarks.agent.adapters import Adapter
    from benchmarks.agent.adapters.bare_fanout import Fanout

_PIECE = 65_536
_EVENTS = "text/event-stream"


def sse_starlette(adapter: Fanout) -> Starlette:
    """Send events over a plain generator."""

    async def answer(request: Request, stream: str) -> Response:
        del request
        return EventSourceResponse(await adapter.attach(stream))

    return application(answer, adapter.status)


def queues(adapter: Adapter) -> Starlette:
    """Send each chunk from a queue for each client as an event."""

    async def answer(request: Request, stream: str) -> Response:
        del request
        return StreamingResponse(body(await adapter.attach(stream)), media_type=_EVENTS)

    async def body(chunks: AsyncIterator[str]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            yield f"data: {chunk}\n\n".encode()

    async def status(stream: str) -> str:
        return f"{stream} is not known"

    return application(answer, status)


def finished(adapter: Fanout) -> Starlette:
    """Send the finished text of earlier events in pieces, then each chunk as an event."""

    async def answer(request: Request, stream: str) -> Response:
        del request
        live = adapter.lives[stream]
        return StreamingResponse(body(bytes(live.events), live.join()), media_type=_EVENTS)

    async def body(earlier: bytes, later: AsyncIterator[str]) -> AsyncIterator[bytes]:
        for at in range(0, len(earlier), _PIECE):
            yield earlier[at : at + _PIECE]
        async for chunk in later:
            yield f"data: {chunk}\n\n".encode()

    return application(answer, adapter.status)
