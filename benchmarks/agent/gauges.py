"""What a process measures of itself: memory, processor time, and the event loop's lag."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from pathlib import Path

_TICK = 0.001


def memory() -> int:
    """Return the resident bytes, after a collection."""
    gc.collect()
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("memory is read from /proc: measure it on Linux")


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class LoopLag:
    """The longest delay of a task that wants to run every millisecond."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._slept_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def reset(self) -> None:
        """Begin again; delays until now are not counted."""
        self.worst = 0.0
        self._slept_at = time.monotonic()
        if self._task is None:
            self._task = asyncio.create_task(self._tick())

    async def aclose(self) -> None:
        """Stop measuring until the next ``reset``."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _tick(self) -> None:
        while True:
            self._slept_at = time.monotonic()
            await asyncio.sleep(_TICK)
            self.worst = max(self.worst, time.monotonic() - self._slept_at - _TICK)
