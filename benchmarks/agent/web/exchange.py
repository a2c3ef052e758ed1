"""One request and its response, of which every byte is kept with its time and checked later."""

from __future__ import annotations

import asyncio
import time
from array import array
from typing import TYPE_CHECKING, cast

from benchmarks.agent.texts import CHUNK
from benchmarks.agent.web.decoding import BadResponseError, Body, events_of

if TYPE_CHECKING:
    from collections.abc import Iterator


class Exchange(asyncio.Protocol):
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
        self._body = Body()
        self._parts: list[bytes] = []
        self._times = array("q")
        self._fault: str | None = None
        self._transport: asyncio.Transport

    async def begin(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, "127.0.0.1", port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        head = f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        self._transport.write(head.encode())

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        try:
            part = self._body.feed(data)
        except (BadResponseError, ValueError) as error:
            self._fault = self._fault or f"{type(error).__name__}: {error}"
            self._transport.abort()
            return
        if part:
            self._parts.append(part)
            self._times.append(now)
            if self._mark:
                self._look(part)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = time.monotonic_ns()
        if exc is not None:
            self._fault = self._fault or f"{type(exc).__name__}: {exc}"
        self.has_caught_up.set()
        self.has_ended.set()

    def _look(self, part: bytes) -> None:
        # The mark may have come in two pieces.
        recent = self._tail + part
        if self._mark in recent:
            self._mark = self._tail = b""
            self.has_caught_up.set()
        else:
            self._tail = recent[-len(self._mark) :]

    def text(self) -> bytes:
        """Return the text that has come."""
        body = b"".join(self._parts)
        return b"".join(data for data, _ in events_of(body)) if self._body.has_events else body

    def failure(self) -> str | None:
        """Return why the response has not come whole; None if it has."""
        return self._fault or (None if self._body.ended else "the response was cut")

    def fault(self, expected: bytes) -> str | None:
        """Return what is wrong with a response that has ended; None if it is exact."""
        return self.failure() or difference(self.text(), expected)

    def early_fault(self, expected: bytes) -> str | None:
        """Return what is wrong with a response that goes on."""
        text = self.text()
        return self._fault or difference(text, expected[: len(text)])

    def arrivals(self) -> Iterator[int]:
        """Yield when each chunk was complete."""
        part, reached, times = 0, 0, self._times
        for end in self._chunk_ends():
            while reached < end:
                reached += len(self._parts[part])
                part += 1
            yield times[part - 1]

    def _chunk_ends(self) -> Iterator[int]:
        """Yield where in the body each chunk ends."""
        if not self._body.has_events:
            yield from range(CHUNK, sum(map(len, self._parts)) + 1, CHUNK)
            return
        position, number = 0, 1
        for data, end in events_of(b"".join(self._parts)):
            position += len(data)
            while number * CHUNK <= position:
                yield end
                number += 1


def difference(text: bytes, expected: bytes) -> str | None:
    if text == expected:
        return None
    for at in range(0, max(len(text), len(expected)), CHUNK):
        here, there = text[at : at + CHUNK], expected[at : at + CHUNK]
        if here != there:
            return f"at {at}: {here!r:.60} instead of {there!r:.60}"
    return None
