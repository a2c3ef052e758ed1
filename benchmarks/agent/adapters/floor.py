"""The least that carries a stream: no repair, no fencing, no bound, one message for each chunk.

A listener asks on ``ask.STREAM``, gets all earlier text on a channel of its own, and then follows
``live.STREAM``, to which its process subscribes once. Nothing is sent there before somebody has
asked. The last message is empty. This is correct only because the sources of the benchmark wait
while a listener attaches.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from benchmarks.agent.adapters import MakeStream


# NATS takes messages of up to 1 MiB.
_PIECE = 256_000


class Wire(Protocol):
    """Publish and subscribe, with nothing between the driver and the caller."""

    async def publish(self, channel: str, message: bytes) -> None: ...

    async def subscribe(self, channel: str, handler: Callable[[bytes], None]) -> None: ...

    async def aclose(self) -> None: ...


class Floor:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._listeners: dict[str, list[asyncio.Queue[str]]] = {}
        self._replies: set[asyncio.Task[None]] = set()
        self._asked_for: set[str] = set()

    async def start(self, stream: str, make_stream: MakeStream) -> AsyncIterator[str]:
        chunks: list[str] = []

        def on_request(listener: bytes) -> None:
            self._asked_for.add(stream)
            task = asyncio.create_task(self._reply(listener.decode(), "".join(chunks)))
            self._replies.add(task)
            task.add_done_callback(self._replies.discard)

        await self._wire.subscribe(f"ask.{stream}", on_request)
        return self._produce(stream, make_stream, chunks)

    async def _reply(self, listener: str, text: str) -> None:
        data = text.encode()
        for at in range(0, len(data), _PIECE):
            await self._wire.publish(listener, data[at : at + _PIECE])

    async def _produce(
        self, stream: str, make_stream: MakeStream, chunks: list[str]
    ) -> AsyncIterator[str]:
        channel = f"live.{stream}"
        async for chunk in make_stream():
            chunks.append(chunk)
            if stream in self._asked_for:
                await self._wire.publish(channel, chunk.encode())
            yield chunk
        await self._wire.publish(channel, b"")

    async def attach(self, stream: str) -> AsyncIterator[str]:
        queue: asyncio.Queue[str] = asyncio.Queue()
        listener = f"listener.{uuid.uuid4().hex}"
        await self._wire.subscribe(listener, lambda text: queue.put_nowait(text.decode()))
        await self._follow(stream, queue)
        await self._wire.publish(f"ask.{stream}", listener.encode())
        return _read(queue)

    async def _follow(self, stream: str, queue: asyncio.Queue[str]) -> None:
        followers = self._listeners.setdefault(stream, [])
        followers.append(queue)
        if len(followers) > 1:
            return

        def hand_out(message: bytes) -> None:
            chunk = message.decode()
            for follower in followers:
                follower.put_nowait(chunk)

        await self._wire.subscribe(f"live.{stream}", hand_out)

    async def aclose(self) -> None:
        await self._wire.aclose()


async def _read(queue: asyncio.Queue[str]) -> AsyncIterator[str]:
    while chunk := await queue.get():
        yield chunk
