"""One module for each contender: ``async def create(url) -> Adapter``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    MakeStream = Callable[[], AsyncIterator[str]]


class Adapter(Protocol):
    """How a contender starts a stream and reads it from elsewhere."""

    async def start(self, stream: str, make_stream: MakeStream) -> AsyncIterator[str]:
        """Start the stream; return the iterator of the producer's own reader."""
        ...

    async def attach(self, stream: str) -> AsyncIterator[str]:
        """Return the stream from its beginning, as a listener in another process gets it."""
        ...

    async def aclose(self) -> None: ...
