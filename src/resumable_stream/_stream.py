"""The stream as callers hold it: an async iterator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum, StrEnum, auto
from typing import TYPE_CHECKING, Final, Literal, Protocol, Self, final

from resumable_stream.errors import ProducerLostError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Coroutine, Iterator
    from types import TracebackType


class Reader(Protocol):
    """Reads a stream's chunks, from the log in this process or from a producer elsewhere.

    Attributes:
        ahead: the chunks that can be taken without waiting; to take one is to have read it.
    """

    ahead: Iterator[str]

    @property
    def offset(self) -> int: ...

    @property
    def last_event_id(self) -> str | None: ...

    async def fetch(self) -> None:
        """Wait until chunks are ahead, or another caller has taken them; raise at the end."""

    async def next_run(self) -> list[str]: ...

    @property
    def left(self) -> bool:
        """``close`` would certainly release nothing more."""

    def close(self) -> None: ...

    async def aclose(self) -> None: ...


class Again(Enum):
    """It is not there yet: ask again."""

    AGAIN = auto()


AGAIN: Final = Again.AGAIN
Found = Reader | Again | None
FindNext = Callable[[Reader], Awaitable[Found]]


@final
class ResumableStream:
    """One reader's view of a stream: an async iterator of its text, chunk by chunk.

    Iteration ends normally only if the stream completed and all of its text from the start offset
    on was read. Otherwise it raises:

    * ``StreamFailedError``, ``StreamCancelledError``, ``ProducerLostError`` or its subclass
      ``StreamSupersededError``: the stream ended otherwise;
    * ``OffsetOutOfRangeError``: this reader fell behind, and its text is no longer there, neither
      buffered nor in a journal;
    * ``InvalidOffsetError``: the text shows that the offset falls inside a surrogate pair;
    * ``BackendUnavailableError``: a remote reader could not reach the broker for too long.

    Reading is cancellation-safe: a cancelled ``anext``, for example in ``asyncio.wait_for``, takes
    no chunk. Leaving (``aclose``, ``async with``, or dropping the last reference) ends this reader
    only, never the stream.
    """

    __slots__ = ("__weakref__", "_find_next", "_loop", "_reader", "_taken")

    def __init__(
        self,
        reader: Reader,
        loop: asyncio.AbstractEventLoop,
        find_next: FindNext,
    ) -> None:
        self._reader = reader
        self._loop = loop
        # Gives a reader of a run that continues this one's; None once the stream was left.
        self._find_next: FindNext | None = find_next
        self._taken = False  # its reader is another stream's

    @property
    def offset(self) -> int:
        """How far the stream was read, from its beginning: the offset to resume at next time.

        It is in the context's offset unit: UTF-16 code units by default.
        """
        return self._reader.offset

    @property
    def last_event_id(self) -> str | None:
        """The opaque id of the place after the last chunk read, for ``last_event_id=``.

        None before the first chunk, unless reading began at a chunk's start. Always None for a
        stream that a TypeScript peer produces.
        """
        return self._reader.last_event_id

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        reader = self._reader
        while True:
            for chunk in reader.ahead:
                return chunk
            try:
                await reader.fetch()
            except ProducerLostError as error:
                reader = await self._move_on(reader, error)

    async def _next_run(self) -> list[str]:
        reader = self._reader
        while True:
            try:
                return await reader.next_run()
            except ProducerLostError as error:
                reader = await self._move_on(reader, error)

    async def _move_on(self, reader: Reader, error: ProducerLostError) -> Reader:
        """Read on in the run that continues the lost one; raise the error if there is none."""
        if self._reader is reader:
            found: Found = AGAIN
            while found is AGAIN:
                found = None if self._find_next is None else await self._find_next(reader)
            if found is None:
                raise error
            if self._find_next is not None and self._reader is reader:
                self._reader = found
            else:  # left meanwhile, or another caller was faster
                await found.aclose()
                if self._find_next is None:
                    raise error
        return self._reader

    def runs(self) -> AsyncIterator[list[str]]:
        """Iterate over the same chunks, but take all that are there in each step.

        Each step gives a list of at least one chunk and of some 64 Ki characters at most; a larger
        chunk comes alone. A step waits only if no chunk is there, and never for a second one.

        Runs and chunks share one position, so both may be read in turn: ``offset`` and
        ``last_event_id`` tell the place after the last chunk of the run. Iteration ends, and
        raises, as it does chunk by chunk: a run that comes before an error is given first. A
        cancelled step takes no chunk.
        """
        return _Runs(self)

    async def aclose(self) -> None:
        """Leave the stream, which goes on without this reader. Idempotent."""
        self._find_next = None
        await self._reader.aclose()

    def close(self) -> None:
        """Leave the stream soon, without waiting for it; may be called in any thread."""
        self._find_next = None
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
        # This may run in any thread, at any point, so it only schedules the close. To do so writes
        # to the loop's own socket, so most streams, which were read to their end, do without.
        if not (self._taken or self._reader.left):
            self.close()


def find_next_with(stream: ResumableStream, find_next: FindNext) -> None:
    """Say how a stream goes on whose producer is lost."""
    stream._find_next = find_next  # noqa: SLF001 - not for the users of a stream


def take_reader(stream: ResumableStream) -> Reader:
    """Take the reader of a stream that nobody else has, and that is dropped."""
    stream._taken = True  # noqa: SLF001 - not for the users of a stream
    return stream._reader  # noqa: SLF001


@final
class _Runs:
    """Holds its stream, which would be left if nobody held it."""

    __slots__ = ("_stream",)

    def __init__(self, stream: ResumableStream) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Coroutine[None, None, list[str]]:
        return self._stream._next_run()  # noqa: SLF001 - its own part


@final
class NotFound(StrEnum):
    """The answer for an unknown stream id: it is false, and equals ``"NOT_FOUND"``.

    It is an enum, because type checkers narrow ``stream == NOT_FOUND`` for enum members.
    """

    NOT_FOUND = "NOT_FOUND"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return self.value


NOT_FOUND: Final = NotFound.NOT_FOUND
