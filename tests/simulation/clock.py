"""An event loop in virtual time that runs many hosts; a seed determines the order."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import math
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVarTuple

from support.spinning import Interruptible, LivelockError, what_is_left

if TYPE_CHECKING:
    import random
    from collections import deque
    from collections.abc import Callable, Coroutine

Ts = TypeVarTuple("Ts")

# A run that needs more steps than this will never end.
MAX_STEPS = 400_000


class DeadlockError(AssertionError):
    """Nothing is ready, nothing is scheduled, and the run is not over."""


@dataclass(eq=False)
class Host:
    """A machine: it has a clock of its own, may be paused, and may die.

    Attributes:
        offset: how many seconds its clock is ahead of true time.
        rate: how many of its seconds pass in a true second.
        on_death: called when it is killed.
    """

    name: str
    offset: float = 0.0
    rate: float = 1.0
    paused: bool = False
    dead: bool = False
    tasks: list[weakref.ref[asyncio.Task[Any]]] = field(default_factory=list)
    parked: list[asyncio.Handle] = field(default_factory=list)
    on_death: list[Callable[[], None]] = field(default_factory=list)

    def local(self, time: float) -> float:
        return self.offset + time * self.rate

    def true(self, time: float) -> float:
        true = (time - self.offset) / self.rate
        while self.local(true) < time:  # rounded: a timer would find that its time has not come
            true = math.nextafter(true, math.inf)
        return true

    def running(self) -> list[asyncio.Task[Any]]:
        tasks = [reference() for reference in self.tasks]
        return [task for task in tasks if task is not None and not task.done()]


HOST: contextvars.ContextVar[Host | None] = contextvars.ContextVar("HOST", default=None)


class SimulatedLoop(Interruptible, asyncio.BaseEventLoop):
    """Runs one ready callback at a time: the first, or with ``shuffle`` any of the first eight.

    asyncio runs callbacks first-in first-out, but the core must not depend on this order: a network
    puts the events of different tasks in any order.
    """

    def __init__(self, rng: random.Random, *, shuffle: bool) -> None:
        super().__init__()
        # The base class's own queues, which have no public interface.
        inner: Any = self
        self._queue: deque[asyncio.Handle] = inner._ready
        self._timers: list[asyncio.TimerHandle] = inner._scheduled
        self.now = 1_000.0
        self.steps = 0
        self._rng = rng
        self._shuffle = shuffle
        self.errors: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _loop, context: self.errors.append(context))
        self.set_task_factory(_make_task)  # type: ignore[arg-type]

    def time(self) -> float:
        host = HOST.get()
        return self.now if host is None else host.local(self.now)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        host = HOST.get()
        true = when if host is None else host.true(when)
        return super().call_at(true, callback, *args, context=context)

    def at(self, when: float, host: Host | None, callback: Callable[..., object]) -> None:
        """Call back at a true time, on the host."""
        context = contextvars.Context()
        context.run(HOST.set, host)
        timer = asyncio.TimerHandle(max(when, self.now), callback, (), self, context)
        heapq.heappush(self._timers, timer)

    def start(self, host: Host | None, work: Coroutine[Any, Any, Any], name: str) -> Any:
        """Run a task on the host."""
        context = contextvars.Context()
        context.run(HOST.set, host)
        return self.create_task(work, name=name, context=context)

    def resume(self, host: Host) -> None:
        host.paused = False
        parked, host.parked = host.parked, []
        self._queue.extend(parked)

    def kill(self, host: Host) -> None:
        """Stop everything on the host for ever."""
        host.dead = True
        for tell in host.on_death:
            tell()

    def bury(self, host: Host) -> list[asyncio.Task[Any]]:
        """Let a dead host's tasks end, so that none is left; only after the run was judged."""
        host.dead = False
        # Nor does a timer go off that came due meanwhile.
        host.parked = [one for one in host.parked if not isinstance(one, asyncio.TimerHandle)]
        self.resume(host)
        tasks = host.running()
        for task in tasks:
            task.cancel()
        return tasks

    def stop_clock(self) -> None:
        """Let no timer go off any more: those of dead hosts would start work that nobody ends."""
        for timer in self._timers:
            timer.cancel()

    def _run_once(self) -> None:
        self.check()
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise LivelockError(f"no end after {MAX_STEPS} steps; there are {what_is_left(self)}")
        handle = self._next()
        if handle is not None and not handle._cancelled:
            handle._run()

    def _next(self) -> asyncio.Handle | None:
        ready, scheduled = self._queue, self._timers
        if not ready:
            while scheduled and scheduled[0]._cancelled:
                heapq.heappop(scheduled)
            if not scheduled:
                raise DeadlockError("every task waits for another")
            self.now = max(self.now, scheduled[0].when())
        while scheduled and scheduled[0].when() <= self.now:
            timer = heapq.heappop(scheduled)
            if not timer._cancelled:
                ready.append(timer)
        if self._shuffle and len(ready) > 1:
            ready.rotate(-self._rng.randrange(min(len(ready), 8)))
        if not ready:
            return None
        handle = ready.popleft()
        inner: Any = handle
        host: Host | None = inner._context.get(HOST)
        if host is not None and (host.paused or host.dead):
            host.parked.append(handle)
            return None
        return handle

    def _write_to_self(self) -> None:
        """Do nothing: this loop never waits in a selector."""

    def _process_events(self, event_list: object) -> None:
        """Do nothing: this loop has no selector events."""


def _make_task(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **settings: Any
) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **settings)
    context = settings.get("context")
    host = context.get(HOST) if context is not None else HOST.get()
    if host is not None:
        host.tasks.append(weakref.ref(task))
    return task
