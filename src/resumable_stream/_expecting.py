"""Waiting for a stream that nobody has started yet, or that nobody has continued yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from resumable_stream._stream import (
    AGAIN,
    NOT_FOUND,
    NotFound,
    ResumableStream,
    find_next_with,
)
from resumable_stream.errors import (
    AccessDeniedError,
    BackendUnavailableError,
    HandshakeTimeoutError,
)

if TYPE_CHECKING:
    from resumable_stream._joining import Joining
    from resumable_stream._protocol.places import Start
    from resumable_stream._stream import Found, Reader

# As often as a listener looks at a sentinel.
_LOOK_EVERY = 1.0


class Expecting:
    """Readers of one instance that wait for streams to begin, or go on, here or elsewhere."""

    def __init__(self, joining: Joining) -> None:
        self._joining = joining
        self._begun: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()

    async def join(
        self, stream_id: str, start: Start, patience: float, *, replay: bool
    ) -> ResumableStream | NotFound | None:
        """Read a stream wherever it is, once it is anywhere, for so many seconds.

        A broker that is away meanwhile is waited for, too, and a producer that does not answer: it
        may be dead, and another one may go on.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + patience
        begun = self._begun.setdefault(stream_id, asyncio.Event())
        while True:
            begun.clear()
            unavailable: BackendUnavailableError | HandshakeTimeoutError | None = None
            try:
                joined = await self._joining.join(stream_id, start, replay=replay)
            except AccessDeniedError:
                raise
            except (BackendUnavailableError, HandshakeTimeoutError) as error:
                joined, unavailable = NOT_FOUND, error
            left = deadline - clock()
            if isinstance(joined, ResumableStream):
                find_next_with(joined, _Successor(self, stream_id, patience))
            if not isinstance(joined, NotFound):
                return joined
            # Who has waited wants all of it, also of a stream that was over before the next look.
            start = start._replace(named=True)
            if left <= 0:
                if unavailable is not None:
                    raise unavailable
                return joined
            await _wait(begun, min(_LOOK_EVERY, left))

    async def next_run(self, stream_id: str, reader: Reader, deadline: float) -> Found:
        """Look once for what follows a reader's run, which was lost, and wait if it is not there.

        Return ``AGAIN`` if the time is not over.
        """
        begun = self._begun.setdefault(stream_id, asyncio.Event())
        begun.clear()
        found = await self._joining.next_run(stream_id, reader, anew=True)
        left = deadline - asyncio.get_running_loop().time()
        if found is not None or left <= 0:
            return found
        await _wait(begun, min(_LOOK_EVERY, left))
        return AGAIN

    def tell(self, stream_id: str) -> None:
        """A stream has begun here."""
        if (begun := self._begun.get(stream_id)) is not None:
            begun.set()


class _Successor:
    """Finds the run that follows one whose producer is lost, however often its reader asks."""

    def __init__(self, expecting: Expecting, stream_id: str, patience: float) -> None:
        self._expecting = expecting
        self._stream_id = stream_id
        self._patience = patience
        self._reader: Reader | None = None  # which has lost its producer
        self._deadline = 0.0

    async def __call__(self, reader: Reader) -> Found:
        if self._reader is not reader:
            self._reader = reader
            self._deadline = asyncio.get_running_loop().time() + self._patience
        return await self._expecting.next_run(self._stream_id, reader, self._deadline)


async def _wait(event: asyncio.Event, limit: float) -> None:
    try:
        async with asyncio.timeout(limit):
            await event.wait()
    except TimeoutError:
        return
