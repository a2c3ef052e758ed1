"""The task of a backend's part: begun when there is work, and over with its event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from resumable_stream._loops import is_ending
from resumable_stream.adapter_kit._errors import closed, ending

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from resumable_stream.errors import BackendUnavailableError

_STOP_INTERVAL = 0.2


class Worker:
    """Runs one task at a time, again and again; only ``stop`` and the end of the event loop end it.

    Args:
        run: what the task does; it ends when there is nothing left to do.
        name: the task's name.
        is_left: tells whether there is anything left to do, in which case the task begins again.
        on_end: called after each end of the task, before it begins again, with what it raised.
        backend: what users call the backend, for messages.
    """

    def __init__(
        self,
        run: Callable[[], Coroutine[Any, Any, None]],
        name: str,
        is_left: Callable[[], bool],
        on_end: Callable[[BaseException | None], None],
        *,
        backend: str,
    ) -> None:
        self._run = run
        self._name = name
        self._is_left = is_left
        self._on_end = on_end
        self._backend = backend
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._cut_off = False

    @property
    def cut_off(self) -> bool:
        """The event loop is being shut down, and has cancelled the task."""
        task = self._task
        # Every call of a backend asks this: the check that usually settles it comes first.
        if task is not None and task.cancelling() and not (self._stopped or self._cut_off):
            self._cut_off = is_cut_off(task)
        return self._cut_off

    @property
    def over(self) -> bool:
        """The task never begins again: the worker was stopped or cut off."""
        return self._stopped or self.cut_off

    def refusal(self) -> BackendUnavailableError:
        """Say why a worker that is over takes no more work."""
        return ending(self._backend) if self.cut_off else closed(self._backend)

    def check(self) -> None:
        """Refuse work once the worker is over.

        Raises:
            BackendUnavailableError: the worker is over.
        """
        if self.over:
            raise self.refusal()

    def begin(self) -> None:
        """Begin, unless the task runs already or the worker is over."""
        if self._task is None and not self.over:
            self._task = asyncio.create_task(self._run(), name=self._name)
            # A callback: a task that is cancelled before its first step runs nothing at all.
            self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End the task, for good."""
        self._stopped = not self.cut_off
        if self._task is not None:
            await stop(self._task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not self.over:
            self._task = None
            # A task that ended just before the loop cancelled all of them was not cancelled.
            self._cut_off = self._is_left() and is_ending(task.get_loop())
        self._on_end(None if task.cancelled() else task.exception())
        if self._is_left():
            self.begin()


def is_cut_off(task: asyncio.Task[Any]) -> bool:
    """Tell whether the event loop's shutdown has cancelled a task that nobody else cancels."""
    return bool(task.cancelling()) and is_ending(task.get_loop())


def heed_cancellation() -> None:
    """Cancel the current task now if a driver's call has swallowed its cancellation.

    Raises:
        CancelledError: the task was cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def stop(task: asyncio.Task[Any]) -> None:
    """Cancel the task until it has ended, even where a driver swallows a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_STOP_INTERVAL)
