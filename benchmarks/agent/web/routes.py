"""The two routes of every application: a stream, and the status of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request


def application(
    answer: Callable[[Request, str], Awaitable[Response]],
    state: Callable[[str], Awaitable[str]],
) -> Starlette:
    async def stream(request: Request) -> Response:
        return await answer(request, request.path_params["stream"])

    async def status(request: Request) -> Response:
        return JSONResponse({"state": await state(request.path_params["stream"])})

    return Starlette(routes=[Route("/streams/{stream}", stream), Route("/status/{stream}", status)])
