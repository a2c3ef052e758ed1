"""No library at all: the reader iterates over the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.agent.adapters import MakeStream


class BareSource:
    async def start(self, stream: str, make_stream: MakeStream) -> AsyncIterator[str]:
        del stream
        return make_stream()

    async def attach(self, stream: str) -> AsyncIterator[str]:
        raise NotImplementedError(f"nobody else can read {stream}")

    async def aclose(self) -> None:
        """Do nothing: this adapter has nothing to close."""


async def create(url: str) -> BareSource:
    del url
    return BareSource()
