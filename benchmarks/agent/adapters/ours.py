"""This library, on the backend that the URL names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resumable_stream import Options, ResumableStream, create_resumable_stream_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.agent.adapters import MakeStream


class Ours:
    def __init__(self, url: str, durability: str | None, **settings: Any) -> None:
        self._keeps = durability is not None
        # Only where text is kept: earlier versions of this library have no such option.
        chosen: dict[str, Any] = {"options": Options(durability=durability)} if durability else {}
        self._context = create_resumable_stream_context(url, **settings, **chosen)
        # Listeners have a context of their own, even in the producer's process.
        self.elsewhere = create_resumable_stream_context(url, **settings)

    async def start(self, stream: str, make_stream: MakeStream) -> AsyncIterator[str]:
        return await self._context.create_new_resumable_stream(stream, make_stream)

    async def start_unkept(self, stream: str, make_stream: MakeStream) -> AsyncIterator[str]:
        return await self.elsewhere.create_new_resumable_stream(stream, make_stream)

    async def attach(self, stream: str) -> ResumableStream:
        resumed = await self.elsewhere.resume_existing_stream(stream)
        if not resumed:
            raise RuntimeError(f"resuming gave {resumed!r}")
        return resumed

    async def settle(self, stream: str, *, kept: bool = True) -> None:
        status = await self._context.wait_for_end(stream)
        if kept and self._keeps and not status.kept_until:
            raise RuntimeError(f"the text is not kept: {status}")

    async def aclose(self) -> None:
        await self.elsewhere.aclose(0)
        await self._context.aclose(0)


async def create(url: str, durability: str | None = None, **settings: str) -> Ours:
    return Ours(url, durability, **settings)
