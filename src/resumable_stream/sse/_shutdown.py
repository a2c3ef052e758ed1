"""Find out whether the server that sends this event loop's responses is being stopped.

ASGI does not say so: the lifespan ends after the last response, so an endless response would delay
the shutdown that should end it. This module reads each server's own state, and changes nothing:

* uvicorn and hypercorn run as a coroutine in the loop of their requests, in the main thread or any
  other, with or without signals. The state is in that coroutine's variables.
* granian's state cannot be read. A signal stops its worker, so this module listens to that signal.

If the server is not found, or its inside has changed, no response is ended.
"""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import sys
import threading
import weakref
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

logger = logging.getLogger("resumable_stream")

# The period in which uvicorn checks whether it should stop.
_PERIOD = 0.1
# A request that was on its way when a signal came asks for its stream within this time. If the
# server still runs afterwards, the signal was not meant to stop it.
_SIGNALLED = 10.0


class Interruptible(Protocol):
    """A response that ends when the server is being stopped."""

    def interrupt(self) -> bool:
        """End now; return whether there was anything to end."""


def watch_server() -> ServerWatch:
    """Return the watch that all responses of the running loop share while any of them holds it."""
    loop = asyncio.get_running_loop()
    held = _watches.get(loop)
    watch = held() if held is not None else None
    if watch is None:
        watch = ServerWatch(loop)
        _watches[loop] = weakref.ref(watch)
    return watch


@final
class ServerWatch:
    """Interrupts responses once their server is being stopped; later ones are interrupted at once.

    It holds no response, but the responses hold it: it disappears with the last of them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._answers: weakref.WeakSet[Interruptible] = weakref.WeakSet()
        self._servers: list[Callable[[], bool]] = []
        self._looks = False
        self._signalled_until = -math.inf
        # A server that has changed inside must not make a response fail.
        with suppress(Exception):
            self._servers = list(_servers_in(loop))
        if not self._servers and "granian" in sys.modules:
            _hear_signals(loop, self._on_signal)

    def add(self, answer: Interruptible) -> None:
        """Interrupt the response once the server is being stopped."""
        self._answers.add(answer)
        if not self._looks:
            self._look()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._looks = False
        if self._is_stopping():
            # Another server may follow in this loop.
            _watches.pop(loop, None)
            self._interrupt()
        elif loop.time() < self._signalled_until:
            self._interrupt()
        elif self._answers and self._servers:
            self._looks = True
            loop.call_later(_PERIOD, self._look)

    def _is_stopping(self) -> bool:
        with suppress(Exception):
            # If a loop has several servers, it is unknown which of them sends a response.
            return bool(self._servers) and all(is_stopping() for is_stopping in self._servers)
        return False

    def _on_signal(self) -> None:
        self._signalled_until = asyncio.get_running_loop().time() + _SIGNALLED
        self._interrupt()

    def _interrupt(self) -> None:
        answers = list(self._answers)
        self._answers.clear()
        if cut := sum(answer.interrupt() for answer in answers):
            logger.info("the server is being stopped: %d clients are told to come back", cut)


# Weak in both directions: the responses of a loop hold its watch.
_watches: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[ServerWatch]] = (
    weakref.WeakKeyDictionary()
)


def _servers_in(loop: asyncio.AbstractEventLoop) -> Iterator[Callable[[], bool]]:
    """Yield, for each server in the loop, a function that tells whether the server is stopping."""
    for task in asyncio.all_tasks(loop):
        for frame in _frames(task.get_coro()):
            variable, is_stopping = _KINDS.get(frame.f_globals.get("__name__", ""), ("", None))
            if is_stopping is not None and variable in frame.f_locals:
                yield partial(is_stopping, frame.f_locals[variable])
                break


# The attributes of a coroutine, of an awaited generator, and of an async generator.
_AWAITABLE = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))


def _frames(awaited: Any) -> Iterator[FrameType]:
    """Yield the frames of a suspended coroutine, and of what it awaits."""
    while awaited is not None:
        for kind, following in _AWAITABLE:
            if (frame := getattr(awaited, kind, None)) is not None:
                yield frame
                awaited = getattr(awaited, following)
                break
        else:
            return


def _uvicorn_is_stopping(server: Any) -> bool:
    # Stopping means that it no longer accepts connections: then a client that comes back reaches
    # another process. It also stops accepting, without a signal, after its last allowed request.
    listeners = server.servers
    return bool(listeners) and not any(listener.is_serving() for listener in listeners)


def _hypercorn_is_stopping(context: Any) -> bool:
    return bool(context.terminated.is_set())


# By the module of the server's coroutine: the variable with the state, and how to read it.
_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "uvicorn.server": ("self", _uvicorn_is_stopping),
    "hypercorn.asyncio.run": ("context", _hypercorn_is_stopping),
}


def _hear_signals(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """Call ``stop`` in the loop when a signal tells the process to stop, before its own handler.

    The handlers stay for as long as the loop exists, because a signal cannot be detected later. A
    handler that was added to the loop still works: the loop learns of signals by a descriptor.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
    where = weakref.ref(loop)

    def hear(number: int, frame: FrameType | None) -> None:
        running = where()
        if running is not None and not running.is_closed():
            running.call_soon_threadsafe(stop)
        handlers[number](number, frame)

    def restore() -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                if signal.getsignal(number) is hear:
                    signal.signal(number, handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        if callable(handler):
            handlers[number] = handler
            signal.signal(number, hear)
    weakref.finalize(loop, restore)
