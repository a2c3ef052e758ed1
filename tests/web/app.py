"""The application under test: its settings come from the environment, its texts from recipes."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
from contextlib import asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from processes.texts import Source
from processes.worker import Gate, SourceFailedError
from resumable_stream import Options, create_resumable_stream_context
from resumable_stream._reading.local import LocalReader
from resumable_stream._reading.remote import RemoteReader
from resumable_stream.sse import JSON, sse_response
from support.expected_logs import is_unexpected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from resumable_stream import NotFound, ResumableStream, SoFar

SETTINGS = json.loads(os.environ["WEB_TEST_SETTINGS"])

# Errors are logged to the server's output, which the tests check.
logging.basicConfig(level=logging.ERROR)
logging.getLogger("resumable_stream").addFilter(is_unexpected)
streams = create_resumable_stream_context(SETTINGS["url"], options=Options(**SETTINGS["options"]))
gates: dict[str, Gate] = {}
in_progress = 0


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    async with streams:
        yield


def source_of(request: Request) -> Callable[..., AsyncIterator[str]]:
    recipe = Source(**json.loads(request.query_params["source"]))
    gate = gate_of(request)

    async def run(first: int = 0) -> AsyncIterator[str]:
        number = first - 1
        for number, chunk in enumerate(islice(recipe.chunks(), first, None), first):
            await before(number)
            yield chunk
        await before(number + 1)

    async def before(number: int) -> None:
        if recipe.gated_from is not None and number >= recipe.gated_from:
            await gate.take()
        if recipe.pause:
            await asyncio.sleep(recipe.pause)
        if number == recipe.fail_at:
            raise SourceFailedError(f"failed at {number}")

    return run


def gate_of(request: Request) -> Gate:
    return gates.setdefault(request.path_params["stream"], Gate())


async def join(request: Request, place: str | None = None) -> ResumableStream | NotFound | None:
    """Start or join the stream if the request has a source, else only join it.

    With ``carry`` in the request, it also goes on where another process was lost.
    """
    stream_id = request.path_params["stream"]
    if "source" in request.query_params:
        source = source_of(request)

        def more(so_far: SoFar) -> AsyncIterator[str]:
            return source(len(so_far.chunks))

        return await streams.resumable_stream(
            stream_id,
            source,
            last_event_id=place,
            continue_lost=more if "carry" in request.query_params else None,
            continue_at_most=100,
        )
    return await streams.resume_existing_stream(stream_id, last_event_id=place)


async def events(request: Request) -> Response:
    heartbeat = float(request.query_params.get("heartbeat", 3600))
    response = await sse_response(
        request, lambda place: join(request, place), chunks=JSON, heartbeat=heartbeat, retry=0.1
    )
    response.headers["X-Process"] = str(os.getpid())
    return response


async def expected(request: Request) -> Response:
    """Wait for a stream that nobody has started yet."""
    stream_id, wait = request.path_params["stream"], float(request.query_params["wait"])
    response = await sse_response(
        request,
        lambda place: streams.resume_existing_stream(stream_id, last_event_id=place, wait=wait),
        chunks=JSON,
        retry=0.1,
    )
    response.headers["X-Process"] = str(os.getpid())
    return response


async def plain(request: Request) -> Response:
    """As in the package's announcement: the stream itself is the body."""
    return StreamingResponse(await joined(request), media_type="text/event-stream")


async def chat(request: Request) -> Response:
    """Also as in the announcement: sse-starlette makes each chunk an event."""
    return EventSourceResponse(await joined(request), ping=3600)


async def limited(request: Request) -> Response:
    """Read for a moment only: the time-out comes while the reader waits for text."""

    async def read(stream: ResumableStream) -> None:
        async for _ in stream:
            pass

    try:
        await asyncio.wait_for(read(await joined(request)), 0.2)
    except TimeoutError:
        return Response(status_code=504)
    raise AssertionError


async def joined(request: Request) -> ResumableStream:
    stream = await join(request)
    assert stream
    return stream


async def release(request: Request) -> Response:
    permits = request.query_params.get("permits")
    await gate_of(request).release(int(permits) if permits else None)
    return Response(status_code=204)


async def state(request: Request) -> Response:
    """What this process holds; with ``collect``, after a garbage collection."""
    if "collect" in request.query_params:
        gc.collect()
    objects: list[Any] = gc.get_objects()
    return JSONResponse(
        {
            "process": os.getpid(),
            "readers": sum(type(one) is LocalReader and not one._closed for one in objects)
            + sum(isinstance(one, RemoteReader) and not one.unread.over for one in objects),
            "listeners": sum(" listener " in one.get_name() for one in asyncio.all_tasks()),
            "requests": in_progress,
        }
    )


async def status(request: Request) -> Response:
    return JSONResponse((await streams.stream_status(request.path_params["stream"])).state)


routes = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/events/{stream:path}", events),
        Route("/expected/{stream:path}", expected),
        Route("/plain/{stream:path}", plain),
        Route("/chat/{stream:path}", chat),
        Route("/limited/{stream:path}", limited),
        Route("/release/{stream:path}", release, methods=["POST"]),
        Route("/status/{stream:path}", status),
        Route("/state", state),
    ],
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Count the requests in progress."""
    global in_progress  # noqa: PLW0603
    in_progress += scope["type"] == "http"
    try:
        await routes(scope, receive, send)
    finally:
        in_progress -= scope["type"] == "http"
