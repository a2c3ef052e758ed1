"""What belongs to a request is closed when its client leaves, and the source goes on."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import Depends, FastAPI, Request

from resumable_stream import StreamState, create_resumable_stream_context
from resumable_stream.sse import sse_response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.responses import Response

WORDS = ("One", "two", "three")


class Sessions:
    """Opens sessions that answer nothing once they are closed."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[dict[str, tuple[str, ...]]]:
        session: dict[str, tuple[str, ...]] = {"words": WORDS}
        try:
            yield session
        finally:
            session.clear()
            self.closed.set()


@pytest.mark.parametrize(
    ("owner", "ending"), [("request", StreamState.FAILED), ("source", StreamState.COMPLETED)]
)
async def test_only_the_sources_own_session_lasts(owner: str, ending: StreamState) -> None:
    streams = create_resumable_stream_context("memory://request-scope")
    requests, sources = Sessions(), Sessions()
    go_on = asyncio.Event()
    app = FastAPI()

    async def request_session() -> AsyncIterator[dict[str, tuple[str, ...]]]:
        async with requests.open() as session:
            yield session

    async def words_of(session: dict[str, tuple[str, ...]]) -> AsyncIterator[str]:
        for number in range(len(WORDS)):
            yield session["words"][number]
            await go_on.wait()

    async def with_its_own() -> AsyncIterator[str]:
        async with sources.open() as session:
            async for word in words_of(session):
                yield word

    @app.get("/answer")
    async def answer(
        request: Request,
        # FastAPI resolves annotations at module level, where this function's names are not.
        session: Any = Depends(request_session),  # noqa: B008, FAST002
    ) -> Response:
        def source() -> AsyncIterator[str]:
            return words_of(session) if owner == "request" else with_its_own()

        return await sse_response(request, lambda _: streams.resumable_stream("id", source))

    async with streams:
        await leave_after(app, b"One")
        assert requests.closed.is_set()
        assert (await streams.stream_status("id")).state is StreamState.ACTIVE
        go_on.set()
        assert (await streams.wait_for_end("id")).state is ending
        assert sources.closed.is_set() == (owner == "source")


async def leave_after(app: Callable[..., Any], word: bytes) -> None:
    """Ask for the answer, and disconnect at that word."""
    left = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if word in message.get("body", b""):
            left.set()

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/answer",
        "query_string": b"",
        "headers": [],
        "server": ("test", 80),
    }
    await app(scope, receive, send)
