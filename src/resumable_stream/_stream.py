"""What callers hold: the stream as an async iterator."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal, Protocol, Self, final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine
    from types import TracebackType


class Reader(Protocol):
    """Where a stream's chunks come from: the log next to it, or a producer elsewhere."""

    @property
    def offset(self) -> int: ...

    @property
    def last_event_id(self) -> str | None: ...

    async def next(self) -> str: ...

    def close(self) -> None: ...

    async def aclose(self) -> None: ...


@final
class ResumableStream:
    """One reader's view of a stream: an async iterator of its text, chunk by chunk.

    Iteration ends normally only if the stream completed and all of its text from the start offset
    on was read. Otherwise it raises ``StreamFailedError``, ``StreamCancelledError``,
    ``ProducerLostError`` (or its kind ``StreamSupersededError``), ``OffsetOutOfRangeError`` if this
    reader fell so far behind that its text is no longer buffered, ``InvalidOffsetError`` if the
    text shows that the offset falls inside a surrogate pair, or ``BackendUnavailableError`` if the
    broker stays away from a remote reader for too long.

    Reading is cancellation-safe: an ``anext`` that is cancelled, by ``asyncio.wait_for`` say, takes
    no chunk. Leaving (``aclose``, ``async with``, or dropping the last reference) ends this reader
    only, never the stream.
    """

    __slots__ = ("__weakref__", "_loop", "_reader")

    def __init__(self, reader: Reader, loop: asyncio.AbstractEventLoop) -> None:
        self._reader = reader
        self._loop = loop

    @property
    def offset(self) -> int:
        """How far the stream was read, from its beginning: what to resume at next time.

        In the context's offset unit: UTF-16 code units by default.
        """
        return self._reader.offset

    @property
    def last_event_id(self) -> str | None:
        """An opaque name of the place after the last chunk read, for ``last_event_id=``.

        None before the first chunk, unless the stream began between two chunks, and always None
        for a stream that a TypeScript peer produces.
        """
        return self._reader.last_event_id

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Coroutine[None, None, str]:
        return self._reader.next()

    async def aclose(self) -> None:
        """Leave the stream, which goes on without this reader. Idempotent."""
        await self._reader.aclose()

    def close(self) -> None:
        """Leave the stream soon, without waiting for it; may be called in any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._reader.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # May run in any thread, at any point: only schedule.
        self.close()


@final
class NotFound(StrEnum):
    """The falsy answer for a stream id that is unknown; equals ``"NOT_FOUND"``.

    An enum, because type checkers narrow ``stream == NOT_FOUND`` for its members.
    """

    NOT_FOUND = "NOT_FOUND"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return self.value


NOT_FOUND: Final = NotFound.NOT_FOUND
