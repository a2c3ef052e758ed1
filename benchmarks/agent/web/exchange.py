"""One request and its response, of which every byte is kept with its time."""

from __future__ import annotations

import asyncio
import time
from array import array
from typing import cast

from benchmarks.agent.web.decoding import BadResponseError, Body
from benchmarks.agent.web.received import Received

# All responses are read through it, so that reading one allocates only what has come.
_BUFFER = bytearray(262_144)


class Exchange(asyncio.BufferedProtocol):
    """Asks for a path; does as little as possible while the response comes.

    Attributes:
        stream: the stream that the response carries.
        ended: when the response ended.
        has_caught_up: set once ``mark`` is among the text, or the response has ended.
    """

    def __init__(self, path: str, stream: str = "", mark: bytes = b"") -> None:
        self.stream = stream
        self.ended = 0
        self.has_caught_up = asyncio.Event()
        self.has_ended = asyncio.Event()
        self._path = path
        self._mark = mark
        self._tail = b""
        self._looking = Body()
        self._pieces: list[bytes] = []
        self._times = array("q")
        self._lost: Exception | None = None
        self._transport: asyncio.Transport

    async def begin(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, "127.0.0.1", port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        head = f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        self._transport.write(head.encode())

    def get_buffer(self, sizehint: int) -> bytearray:
        del sizehint
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        self._times.append(time.monotonic_ns())
        self._pieces.append(data := bytes(_BUFFER[:nbytes]))
        if self._mark:
            self._look(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = time.monotonic_ns()
        self._lost = exc
        self.has_caught_up.set()
        self.has_ended.set()

    def received(self) -> Received:
        """Decode what has come."""
        return Received(self._pieces, self._times, self._lost)

    def _look(self, data: bytes) -> None:
        try:
            part = self._looking.feed(data)
        except BadResponseError:
            # Decoding it later says what is wrong.
            self._transport.abort()
            return
        # The mark may have come in two pieces.
        recent = self._tail + part
        if self._mark in recent:
            self._mark = self._tail = b""
            self.has_caught_up.set()
        else:
            self._tail = recent[-len(self._mark) :]
