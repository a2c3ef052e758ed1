"""uvicorn in the event loop of the measured process, on a loopback port."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from starlette.applications import Starlette

_END_TIMEOUT = 5.0


class Serving:
    """A running server; requests wait from the beginning, until it has started.

    Attributes:
        port: where it listens.
    """

    def __init__(self, app: Starlette) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = listener.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
        )
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))

    async def aclose(self) -> None:
        """Stop without waiting for the responses, which the end of the process cuts."""
        self._server.should_exit = self._server.force_exit = True
        await asyncio.wait({self._task}, timeout=_END_TIMEOUT)
