"""PyPI ``fastapi-resumable-stream``: its framework-agnostic core."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.agent.adapters import MakeStream

peer: Any = importlib.import_module("fastapi_resumable_stream")
redis: Any = importlib.import_module("redis.asyncio")


class FastapiResumableStream:
    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        self._streams = peer.ResumableStream(self._client)

    async def start(self, stream: str, make_stream: MakeStream) -> AsyncIterator[str]:
        started: AsyncIterator[str] = await self._streams.start(stream, make_stream)
        return started

    async def attach(self, stream: str) -> AsyncIterator[str]:
        resumed: AsyncIterator[str] | None = await self._streams.resume(stream)
        if resumed is None:
            raise RuntimeError("resuming gave None")
        return resumed

    async def aclose(self) -> None:
        await self._streams.close()
        await self._client.aclose()


async def create(url: str) -> FastapiResumableStream:
    return FastapiResumableStream(url)
