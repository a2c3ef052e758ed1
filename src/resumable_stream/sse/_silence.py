"""Notice silence between events, with one timer for all waits of a response."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Self, final

if TYPE_CHECKING:
    from types import TracebackType

_TOLERANCE = 1 / 256


@final
class Silence:
    """Limits how long each of many waits may take: ``with silence: await something``.

    A wait that takes longer is cancelled, at most a 256th of the limit late, and raises
    ``TimeoutError``. One wait at a time.

    ``asyncio.timeout`` would set and cancel a timer for each wait, so for every event. This timer
    is set by the first wait, and again only after it has fired.

    Args:
        limit: how many seconds a wait may take; infinite for no limit.
    """

    __slots__ = ("_began", "_cancelling", "_fired", "_limit", "_task", "_timer")

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._began = 0.0  # the present wait, or the last one
        self._task: asyncio.Task[object] | None = None  # that waits
        self._cancelling = 0  # how many others had cancelled the task before the wait
        self._fired = False  # the present wait is cancelled
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        self._task = task = asyncio.current_task(loop)
        assert task is not None  # noqa: S101 - only a task can wait
        self._cancelling = task.cancelling()
        if self._timer is None:
            self._set_timer(loop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if self._fired and task is not None:
            self._fired = False
            # If somebody else has cancelled the task, too, their cancellation counts.
            if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def stop(self) -> None:
        """Cancel the timer: no wait will follow."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        due = self._began + self._limit
        if math.isfinite(due):
            # With thousands of silent clients, many waits end in one turn of the event loop.
            due += -due % (self._limit * _TOLERANCE)
        self._timer = loop.call_at(due, self._fire, self._began, loop)

    def _fire(self, began: float, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._task is None:
            return  # the next wait sets the timer
        if began < self._began:
            self._set_timer(loop)
        else:
            self._fired = True
            self._task.cancel()
