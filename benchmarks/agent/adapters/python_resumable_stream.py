"""PyPI ``resumable-stream``, as its README uses it; its package is named like this library's."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.agent.adapters import MakeStream

peer: Any = importlib.import_module("resumable_stream")


class PythonResumableStream:
    def __init__(self, publisher: Any, subscriber: Any) -> None:
        self._publisher = publisher
        self._subscriber = subscriber
        options = peer.CreateResumableStreamContextOptions(
            publisher=publisher, subscriber=subscriber
        )
        self._context = peer.create_resumable_stream_context(options)

    async def start(self, stream: str, make_stream: MakeStream) -> AsyncIterator[str]:
        started: AsyncIterator[str] = await self._context.create_new_resumable_stream(
            stream, make_stream
        )
        return started

    async def attach(self, stream: str) -> AsyncIterator[str]:
        resumed: Any = await self._context.resume_existing_stream(stream)
        if resumed is None or isinstance(resumed, str):
            raise RuntimeError(f"resuming gave {resumed!r}")
        attached: AsyncIterator[str] = resumed
        return attached

    async def aclose(self) -> None:
        await self._subscriber.close()
        await self._publisher.close()


async def create(url: str) -> PythonResumableStream:
    publisher, subscriber = peer.RedisPublisher(url), peer.RedisSubscriber(url)
    # With redis_url alone it connects in the background, and the first call may come too early.
    await publisher.connect()
    await subscriber.connect()
    return PythonResumableStream(publisher, subscriber)
