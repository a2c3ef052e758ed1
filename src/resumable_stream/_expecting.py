"""Waiting for a stream that nobody has started yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from resumable_stream._stream import NOT_FOUND, NotFound, ResumableStream
from resumable_stream.errors import AccessDeniedError, BackendUnavailableError

if TYPE_CHECKING:
    from resumable_stream._joining import Joining
    from resumable_stream._protocol.places import Start

# As often as a listener looks at a sentinel.
_LOOK_EVERY = 1.0


class Expecting:
    """Readers of one instance that wait for streams to begin, here or elsewhere."""

    def __init__(self, joining: Joining) -> None:
        self._joining = joining
        self._begun: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()

    async def join(
        self, stream_id: str, start: Start, patience: float, *, replay: bool
    ) -> ResumableStream | NotFound | None:
        """Read a stream wherever it is, once it is anywhere, for so many seconds.

        A broker that is away meanwhile is waited for, too.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + patience
        begun = self._begun.setdefault(stream_id, asyncio.Event())
        while True:
            begun.clear()
            unavailable: BackendUnavailableError | None = None
            try:
                joined = await self._joining.join(stream_id, start, replay=replay)
            except AccessDeniedError:
                raise
            except BackendUnavailableError as error:
                joined, unavailable = NOT_FOUND, error
            left = deadline - clock()
            if not isinstance(joined, NotFound):
                return joined
            # Who has waited wants all of it, also of a stream that was over before the next look.
            start = start._replace(named=True)
            if left <= 0:
                if unavailable is not None:
                    raise unavailable
                return joined
            await _wait(begun, min(_LOOK_EVERY, left))

    def tell(self, stream_id: str) -> None:
        """A stream has begun here."""
        if (begun := self._begun.get(stream_id)) is not None:
            begun.set()


async def _wait(event: asyncio.Event, limit: float) -> None:
    try:
        async with asyncio.timeout(limit):
            await event.wait()
    except TimeoutError:
        return
