"""PyPI ``assistant-stream``: its resumable context on its Redis store; the chunks are bytes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.agent.adapters import MakeStream

peer: Any = importlib.import_module("assistant_stream.resumable")
redis: Any = importlib.import_module("redis.asyncio")


class AssistantStream:
    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        store = peer.create_redis_resumable_stream_store(self._client)
        self._context = peer.create_resumable_stream_context(store=store)

    async def start(self, stream: str, make_stream: MakeStream) -> AsyncIterator[str]:
        async def encoded() -> AsyncIterator[bytes]:
            async for chunk in make_stream():
                yield chunk.encode()

        return _decoded(await self._context.run(stream, encoded))

    async def attach(self, stream: str) -> AsyncIterator[str]:
        return _decoded(await self._context.require_resume(stream))

    async def aclose(self) -> None:
        await self._client.aclose()


async def _decoded(stream: AsyncIterator[bytes]) -> AsyncIterator[str]:
    async for chunk in stream:
        yield chunk.decode()


async def create(url: str) -> AssistantStream:
    return AssistantStream(url)
