"""Whether an event loop is ending, and the tasks that a context has on it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from resumable_stream.errors import WrongEventLoopError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

logger = logging.getLogger("resumable_stream")

_DRIVERS = ("redis.", "nats.")


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that runs here.

    Raises:
        WrongEventLoopError: no event loop of asyncio runs here.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise WrongEventLoopError(
            "no asyncio event loop is running here: resumable-stream needs one, and does not run "
            "on trio"
        ) from None


def is_ending(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether the loop is being shut down, as ``asyncio.run`` does it: every task cancelled.

    Ask this when somebody else has cancelled a task of yours. If it is true, a new task would not
    finish before the loop is closed.
    """
    current = asyncio.current_task(loop)
    if current is not None and not current.cancelling() and not _is_step(current):
        # Looking at all tasks takes milliseconds if there are thousands, and backends ask often.
        return False
    return loop.is_closed() or all(
        task.cancelling() or _is_step(task) for task in asyncio.all_tasks(loop)
    )


def _is_step(task: asyncio.Task[Any]) -> bool:
    """Return whether a driver has created the task for one step of another task that awaits it.

    Up to Python 3.11 ``asyncio.wait_for`` creates such tasks. If it swallows a cancellation, the
    driver goes on to its next step, in a new task that nobody has cancelled.
    """
    frame = getattr(task.get_coro(), "cr_frame", None)
    return frame is not None and frame.f_globals.get("__name__", "").startswith(_DRIVERS)


class Background:
    """The tasks of one context; each is held until it is done."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._watched = True

    def __iter__(self) -> Iterator[asyncio.Task[None]]:
        return iter(list(self._tasks))

    def start(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = self._loop.create_task(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    def expect_end(self) -> None:
        """Report no end of the loop from now on: the context is being closed."""
        self._watched = False

    def is_ending(self) -> bool:
        """Tell whether the event loop is being shut down; see ``is_ending``."""
        return is_ending(self._loop)

    def notice_end(self) -> None:
        """Log once if the loop is ending; call this when somebody else has cancelled a task."""
        if self._watched and self.is_ending():
            self._watched = False
            logger.warning(
                "the event loop is ending under a context that was left open, and its streams are "
                "lost: call 'await context.aclose()' before, or use 'async with context'"
            )
