"""A floor, as one would write it by hand: a task runs the source, and a queue hands it over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.agent.adapters import MakeStream


class BareQueue:
    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, stream: str, make_stream: MakeStream) -> AsyncIterator[str]:
        del stream
        queue: asyncio.Queue[str | None] = asyncio.Queue()

        async def fill() -> None:
            async for chunk in make_stream():
                await queue.put(chunk)
            await queue.put(None)

        async def read() -> AsyncIterator[str]:
            while (chunk := await queue.get()) is not None:
                yield chunk

        task = asyncio.create_task(fill())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return read()

    async def attach(self, stream: str) -> AsyncIterator[str]:
        raise NotImplementedError(f"nobody else can read {stream}")

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()


async def create(url: str) -> BareQueue:
    del url
    return BareQueue()
