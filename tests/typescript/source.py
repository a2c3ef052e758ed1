"""A Python source that yields what a test puts into it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resumable_stream import ResumableStream


class Source:
    """A source to be passed as ``make_stream``.

    Attributes:
        calls: how often the source was called.
        closed: set once the source has ended, failed or been stopped.
    """

    def __init__(self, *chunks: str) -> None:
        self.calls = 0
        self.closed = asyncio.Event()
        self._given: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        self.feed(*chunks)

    def feed(self, *chunks: str) -> None:
        for chunk in chunks:
            self._given.put_nowait(chunk)

    def end(self) -> None:
        self._given.put_nowait(None)

    def fail(self, error: Exception) -> None:
        self._given.put_nowait(error)

    async def __call__(self) -> AsyncIterator[str]:
        self.calls += 1
        try:
            while (given := await self._given.get()) is not None:
                if isinstance(given, Exception):
                    raise given
                yield given
        finally:
            self.closed.set()


async def read(stream: ResumableStream, size: int) -> str:
    """Read at least ``size`` characters, or up to the end."""
    text = ""
    while len(text) < size and (chunk := await anext(stream, None)) is not None:
        text += chunk
    return text


async def rest(stream: ResumableStream) -> str:
    """Read to the end."""
    return "".join([chunk async for chunk in stream])


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def from_offset(text: str, offset: int) -> str:
    """The text from the offset on, as JavaScript cuts it: half a pair becomes U+FFFD."""
    return text.encode("utf-16-le")[2 * offset :].decode("utf-16-le", "replace")
