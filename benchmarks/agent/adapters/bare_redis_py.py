"""A floor: redis-py, one client that publishes and one that subscribes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from redis.asyncio import BlockingConnectionPool, Redis

from benchmarks.agent.adapters.floor import Floor

if TYPE_CHECKING:
    from collections.abc import Callable


class RedisPy:
    def __init__(self, url: str) -> None:
        # The default pool raises when it is exhausted; this one waits.
        self._pool = BlockingConnectionPool.from_url(url, max_connections=50, timeout=None)
        self._client: Any = Redis(connection_pool=self._pool)
        self._pubsub: Any = self._client.pubsub()
        self._handlers: dict[bytes, Callable[[bytes], None]] = {}
        self._subscribed: dict[bytes, asyncio.Event] = {}
        self._listening: asyncio.Task[None] | None = None
        # Two first subscriptions at once would open two connections, and forget one.
        self._subscribing = asyncio.Lock()

    async def publish(self, channel: str, message: bytes) -> None:
        await self._client.publish(channel, message)

    async def subscribe(self, channel: str, handler: Callable[[bytes], None]) -> None:
        name = channel.encode()
        self._handlers[name] = handler
        self._subscribed[name] = asyncio.Event()
        async with self._subscribing:
            await self._pubsub.subscribe(name)
            if self._listening is None:
                self._listening = asyncio.create_task(self._listen())
        await self._subscribed[name].wait()

    async def _listen(self) -> None:
        async for message in self._pubsub.listen():
            if message["type"] == "message":
                self._handlers[message["channel"]](message["data"])
            else:
                self._subscribed[message["channel"]].set()

    async def aclose(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait({self._listening})
        await self._pubsub.aclose()
        await self._client.aclose()
        await self._pool.aclose()


async def create(url: str) -> Floor:
    return Floor(RedisPy(url))
