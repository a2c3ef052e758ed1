"""A server inside a program, in its loop or in a thread, where it gets no signals."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from resumable_stream import create_resumable_stream_context
from resumable_stream.sse import sse_response
from support.servers import eventually, free_port
from web.client import LAST, get, http_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request


async def endless() -> AsyncIterator[str]:
    while True:
        yield "word "
        await asyncio.sleep(0.05)


def application() -> Starlette:
    streams = create_resumable_stream_context("memory://thread")

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await streams.aclose(0)

    async def events(request: Request) -> Response:
        return await sse_response(request, lambda _: streams.resumable_stream("endless", endless))

    async def small(_: Request) -> Response:
        return Response()

    return Starlette(routes=[Route("/events", events), Route("/", small)], lifespan=lifespan)


@pytest.mark.parametrize("reason", ["told", "last request"])
@pytest.mark.parametrize("loop", ["main", "thread"])
async def test_server_stops_without_a_signal(reason: str, loop: str) -> None:
    config = uvicorn.Config(
        application(),
        port=free_port(),
        log_level="warning",
        limit_max_requests=1 if reason == "last request" else None,
    )
    server, url = uvicorn.Server(config), f"http://127.0.0.1:{config.port}"
    if loop == "main":
        running = asyncio.create_task(server.serve())
    else:
        running = asyncio.create_task(asyncio.to_thread(server.run))
    await eventually(lambda: server.started, "the server")
    async with get(f"{url}/events") as answer:
        await answer.events(3)
        if reason == "told":
            server.should_exit = True
        else:
            async with http_client() as client:
                await client.get(url)
        rest = await answer.events()
    assert not [event for event in rest if event.event in LAST]
    await asyncio.wait_for(running, 20)
