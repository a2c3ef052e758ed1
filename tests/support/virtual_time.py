"""An event loop whose time passes only when nothing else is left to do."""

from __future__ import annotations

import asyncio
import functools
import selectors
from typing import TYPE_CHECKING, ParamSpec

from support.spinning import LIMIT, Interruptible, spinning_is_ended, what_is_left

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

P = ParamSpec("P")


class DeadlockError(AssertionError):
    """Nothing is ready, nothing is scheduled, and the test is not over."""


class _Selector(selectors.DefaultSelector):
    """Sets the clock forward where it would have waited."""

    loop: VirtualTimeLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.loop.check()
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise DeadlockError(f"every task waits for another: {what_is_left(self.loop)}")
        self.loop.now += timeout
        return ready


class VirtualTimeLoop(Interruptible, asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.now = 1_000.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def loop_time() -> float:
    return asyncio.get_running_loop().time()


def in_virtual_time(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run an async test on a loop of its own in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_in_virtual_time(test(*args, **kwargs))

    return run


def run_in_virtual_time(program: Coroutine[None, None, None], *, limit: float = LIMIT) -> None:
    """Run a program, which may take ``limit`` seconds of processor time."""
    loop = VirtualTimeLoop()
    with spinning_is_ended(loop, limit), asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(program)
