"""One instance of a chat service, as a user would write it, which also reports what it does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resumable_stream import Options, ResumableStream
from resumable_stream._cli.demo.story import tokens
from resumable_stream._text.offsets import OffsetUnit, length
from resumable_stream.errors import ResumableStreamError
from resumable_stream.sse import JSON, sse_response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from resumable_stream import ResumableStreamContext

# A short lease: a person who kills the producer should see the effect soon. Text is kept, so that a
# page that is reloaded shows an answer that is over.
OPTIONS: Final = Options(lease=3, drain_timeout=0, durability="async")

PACES: Final = {"slow": 0.25, "normal": 0.05, "fast": 0.002}
"""Seconds from one chunk to the next."""


class Answers:
    """Streams the text as the answer to everything.

    Attributes:
        app: the endpoints, as an ASGI application.
    """

    def __init__(self, context: ResumableStreamContext, text: str) -> None:
        self._context = context
        self._chunks = tokens(text)
        self._pace = PACES["normal"]
        self._produced: dict[str, int] = {}
        # The response holds its stream, and drops it when it ends.
        self._streams = WeakValueDictionary[tuple[str, str], ResumableStream]()
        self.app = Starlette(
            routes=[
                Route("/read/{answer:uuid}/{reader:uuid}", self._read),
                Route("/answers/{answer:uuid}/stop", self._stop, methods=["POST"]),
                Route("/answers/{answer:uuid}/picture", self._picture),
                Route("/pace/{pace}", self._set_pace, methods=["POST"]),
            ]
        )

    async def _read(self, request: Request) -> Response:
        answer, reader = (str(request.path_params[name]) for name in ("answer", "reader"))

        async def attach(place: str | None) -> ResumableStream | None:
            stream = await self._context.resumable_stream(
                _id_of(answer), lambda: self._source(answer), last_event_id=place
            )
            if stream is not None:
                self._streams[answer, reader] = stream
            return stream

        return await sse_response(request, attach, chunks=JSON)

    async def _source(self, answer: str) -> AsyncIterator[str]:
        self._produced[answer] = 0
        try:
            for chunk in self._chunks:
                yield chunk
                self._produced[answer] += length(chunk, OffsetUnit.UTF16)
                await asyncio.sleep(self._pace)
        finally:
            del self._produced[answer]

    async def _stop(self, request: Request) -> Response:
        try:
            result = await self._context.cancel_stream(_id_of(str(request.path_params["answer"])))
        except ResumableStreamError as error:
            return JSONResponse({"result": str(error)}, 503)
        return JSONResponse({"result": result.value})

    async def _picture(self, request: Request) -> Response:
        answer = str(request.path_params["answer"])
        try:
            state = (await self._context.stream_status(_id_of(answer))).state.value
        except ResumableStreamError:
            state = "unknown"
        readers = {
            reader: stream.offset
            for (read, reader), stream in self._streams.items()
            if read == answer
        }
        end = self._produced.get(answer)
        return JSONResponse({"state": state, "end": end, "readers": readers})

    async def _set_pace(self, request: Request) -> Response:
        self._pace = PACES.get(request.path_params["pace"], self._pace)
        return Response(status_code=204)


def _id_of(answer: str) -> str:
    # The prefix keeps the page away from all other streams on the broker.
    return f"web-demo-{answer}"
