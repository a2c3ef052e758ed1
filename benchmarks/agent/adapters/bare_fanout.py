"""What web servers of one process need: a list of earlier chunks, and a queue for each reader."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.agent.adapters import MakeStream


class Live:
    """One stream.

    Attributes:
        chunks: what the source has yielded.
        events: the same as server-sent events.
    """

    def __init__(self) -> None:
        self.chunks: list[str] = []
        self.events = bytearray()
        self._queues: set[asyncio.Queue[str | None]] = set()

    async def run(self, make_stream: MakeStream) -> None:
        async for chunk in make_stream():
            self.chunks.append(chunk)
            self.events += f"data: {chunk}\n\n".encode()
            self._send(chunk)
        self._send(None)

    def join(self) -> AsyncIterator[str]:
        """Return the chunks from now on."""
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._queues.add(queue)
        return self._read(queue)

    async def _read(self, queue: asyncio.Queue[str | None]) -> AsyncIterator[str]:
        try:
            while (chunk := await queue.get()) is not None:
                yield chunk
        finally:
            self._queues.discard(queue)

    def _send(self, chunk: str | None) -> None:
        for queue in self._queues:
            queue.put_nowait(chunk)


class Fanout:
    def __init__(self) -> None:
        self.lives: dict[str, Live] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, stream: str, make_stream: MakeStream) -> AsyncIterator[str]:
        live = self.lives[stream] = Live()
        task = asyncio.create_task(live.run(make_stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await self.attach(stream)

    async def attach(self, stream: str) -> AsyncIterator[str]:
        live = self.lives[stream]
        return _both(live.chunks.copy(), live.join())

    async def status(self, stream: str) -> str:
        return "live" if stream in self.lives else "unknown"

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()


async def _both(earlier: list[str], later: AsyncIterator[str]) -> AsyncIterator[str]:
    for chunk in earlier:
        yield chunk
    async for chunk in later:
        yield chunk


async def create(url: str) -> Fanout:
    del url
    return Fanout()
