"""Ends programs that spin: in virtual time, no timeout would ever end them."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

# Seconds of processor time, which does not depend on other programs on the machine. The longest
# test needs three, the longest seed one.
LIMIT = 20.0
_AGAIN = 0.2


class LivelockError(BaseException):
    """The program does not come to an end.

    It is no ``Exception``, because a program that catches every one of those would go on.
    """


class Interruptible(asyncio.AbstractEventLoop):
    """A loop that checks between two callbacks whether the program was interrupted."""

    livelock: LivelockError | None = None

    def check(self) -> None:
        if (livelock := self.livelock) is not None:
            self.livelock = None
            raise livelock


@contextmanager
def spinning_is_ended(loop: Interruptible, limit: float = LIMIT) -> Iterator[None]:
    """Interrupt the loop once the limit is reached, or the callback if that does not return.

    pytest's own limit interrupts only the callback, and only once: its error ends the running task,
    and the loop goes on with the others.
    """

    def interrupt(_signal: int, frame: FrameType | None) -> None:
        if loop.livelock is not None:
            raise loop.livelock  # the loop has not checked since: a callback does not return
        where = f" in {frame.f_code.co_qualname}" if frame is not None else ""
        loop.livelock = LivelockError(
            f"no end after {limit:g} s of work{where}; there are {what_is_left(loop)}"
        )

    before = signal.signal(signal.SIGPROF, interrupt)
    # The timer repeats, because the program may also spin while it is being cancelled.
    signal.setitimer(signal.ITIMER_PROF, limit, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def what_is_left(loop: asyncio.AbstractEventLoop) -> str:
    """Name the tasks that are not done."""
    return ", ".join(sorted(map(_described, asyncio.all_tasks(loop)))) or "no tasks"


def _described(task: asyncio.Task[object]) -> str:
    what = getattr(task.get_coro(), "__qualname__", "?")
    return f"{task.get_name()!r} ({what})"
