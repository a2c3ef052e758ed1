"""Notice silence between events, with one timer for all waits of a response."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")


@final
class Silence:
    """Limits how long each of many waits may take.

    A timer for each wait would be set and cancelled for every event. This one is set when there is
    none, and again only when it has fired during a later wait.

    Args:
        limit: how many seconds a wait may take.
    """

    __slots__ = ("_began", "_limit", "_timer", "_wait")

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._began = 0.0  # the present wait, or the last one
        self._wait: asyncio.Timeout | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def within(self, awaitable: Awaitable[T]) -> T:
        """Wait for the result; one wait at a time.

        Raises:
            TimeoutError: it did not come within the limit. The awaitable is cancelled.
        """
        self._began = asyncio.get_running_loop().time()
        if self._timer is None:
            self._set_timer()
        self._wait = asyncio.timeout(None)
        try:
            async with self._wait:
                return await awaitable
        finally:
            self._wait = None

    def stop(self) -> None:
        """Cancel the timer: no wait will follow."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        loop = asyncio.get_running_loop()
        due = self._began + self._limit
        self._timer = loop.call_at(due, self._fire, self._began, loop)

    def _fire(self, began: float, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._wait is None:
            return  # the next wait sets the timer
        if began < self._began:
            self._set_timer()
        else:
            self._wait.reschedule(loop.time())
