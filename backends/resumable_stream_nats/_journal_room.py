"""How much of a journal may be under way at once, so that no key waits long behind it."""

from __future__ import annotations

import asyncio
from collections import deque

from resumable_stream_nats._errors import refused

_MOST_BYTES = 4 * 1024 * 1024


class Room:
    """Lets calls in by their size, in the order in which they came."""

    def __init__(self) -> None:
        self._taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, size: int, until: float) -> None:
        """Return once there is room, by the loop's time ``until``; ``give`` it back afterwards.

        Raises:
            BackendUnavailableError: there is none in time.
        """
        if not self._waiting and self._fits(size):
            self._taken += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            async with asyncio.timeout_at(until):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.give(size)
            if isinstance(error, TimeoutError):
                late = TimeoutError("the records before this one were not answered in time")
                raise refused(late) from error
            raise

    def give(self, size: int) -> None:
        self._taken -= size
        while self._waiting and (self._waiting[0][1].done() or self._fits(self._waiting[0][0])):
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._taken += size
                turn.set_result(None)

    def _fits(self, size: int) -> bool:
        return not self._taken or self._taken + size <= _MOST_BYTES
