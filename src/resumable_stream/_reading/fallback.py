"""What a reader reads once its producer no longer gives it the text: what the journal has."""

from __future__ import annotations

import asyncio
from operator import length_hint
from typing import TYPE_CHECKING

from resumable_stream._backoff import Backoff
from resumable_stream._protocol.places import EventId, Start
from resumable_stream.errors import BackendUnavailableError, ProducerLostError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resumable_stream._reading.runs import RunReader
    from resumable_stream.errors import StreamError

_FIRST_PAUSE = 0.05


class Fallback:
    """Looked for once the producer is lost, or has dropped the text, and read to its end.

    Args:
        find: gives a reader of what follows a place, for the reason that the producer gives no
            more; None if nothing is there.
        tolerance: for how many seconds the broker or the journal may be away meanwhile.

    Attributes:
        unnamed: the number of the first chunk read from here, if that may be cut, so that no event
            id names its beginning.
    """

    __slots__ = (
        "_closed",
        "_find",
        "_named",
        "_reader",
        "_sought",
        "_tolerance",
        "_turn",
        "unnamed",
    )

    def __init__(
        self,
        find: Callable[[Start, StreamError], Awaitable[RunReader | None]],
        tolerance: float,
    ) -> None:
        self._find = find
        self._tolerance = tolerance
        self._sought = False
        self._reader: RunReader | None = None
        self._closed = False
        self._named = False  # the place where reading from here began
        self.unnamed: int | None = None
        self._turn = asyncio.Lock()

    @property
    def after(self) -> EventId | None:
        """The place after what was read from here; None if nothing was."""
        place = None if self._reader is None else self._reader.last_event_id
        return None if place is None else EventId.parse(place)

    @property
    def offset(self) -> int:
        """The offset after what was read from here; something was."""
        assert self._reader is not None  # noqa: S101 - for the type checker
        return self._reader.offset

    async def next_run(self, reader: RunReader, why: StreamError) -> list[str]:
        """Return the next chunks for a reader; none if another caller has begun a run for it.

        Args:
            reader: where it is when this is called first, the chunks begin.
            why: what the reader would be told without this.

        Raises:
            StopAsyncIteration: what is there is read, or the reader has left.
            StreamError: as what is there ends, or ``why`` if nothing is there.
            BackendError: it is not known what is there; ask again.
        """
        async with self._turn:
            if length_hint(reader.ahead):
                return []
            if not self._sought:
                await self._seek(reader, why)
            if self._closed:
                raise StopAsyncIteration
            if self._reader is None:
                raise why
            try:
                run = await self._reader.next_run()
            except ProducerLostError as error:
                if error.offset >= reader.offset:
                    raise
                # What is there may end before this reader's place.
                raise ProducerLostError(error.stream_id, reader.offset) from None
            if not self._named and (after := self.after) is not None:
                self._named, self.unnamed = True, after.sequence - len(run)
            return run

    async def _seek(self, reader: RunReader, why: StreamError) -> None:
        place = reader.last_event_id
        self._named = place is not None
        start = Start(reader.offset) if place is None else Start(0, EventId.parse(place))
        clock, backoff = asyncio.get_running_loop().time, Backoff(_FIRST_PAUSE)
        since = clock()
        while not self._sought and not self._closed:
            try:
                self._reader = await self._find(start, why)
                self._sought = True
            except BackendUnavailableError:
                if clock() - since >= self._tolerance:
                    raise
                await asyncio.sleep(backoff.next())
        if self._closed and self._reader is not None:
            await self._reader.aclose()

    @property
    def left(self) -> bool:
        """``close`` would release nothing."""
        return self._reader is None

    def close(self) -> None:
        self._closed = True
        if self._reader is not None:
            self._reader.close()

    async def aclose(self) -> None:
        self.close()
        if self._reader is not None:
            await self._reader.aclose()
