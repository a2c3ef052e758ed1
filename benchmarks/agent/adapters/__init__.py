"""One module for each contender: ``async def create(url) -> Adapter``.

Ours also takes settings, by name: its durability, and the URL of a journal.
"""

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


class Keeper(Adapter, Protocol):
    """Ours, which also tells when a stream is over for everybody."""

    async def start_unkept(self, stream: str, make_stream: MakeStream) -> AsyncIterator[str]:
        """As ``start``, but whatever the durability is, the text is not kept."""
        ...

    async def settle(self, stream: str, *, kept: bool = True) -> None:
        """Wait until the end of a stream that has ended here is recorded.

        Raises:
            RuntimeError: its text is not kept, as it was to be.
        """
        ...
