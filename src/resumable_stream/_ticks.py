"""Timers that share a timer of the event loop if they fall due at about the same time."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LENGTH = 0.025  # seconds


class Ticks:
    """Timers of one event loop, each up to a tick late.

    The loop keeps its own timers in a heap: with thousands of them each costs a dozen comparisons.
    """

    def __init__(self) -> None:
        self._due: dict[int, dict[Callable[[], object], None]] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def call_later(self, wait: float, callback: Callable[[], object]) -> int:
        """Call back in ``wait`` seconds; return the tick, which ``cancel`` needs."""
        loop = asyncio.get_running_loop()
        tick = math.ceil((loop.time() + wait) / _LENGTH)
        if tick not in self._due:
            self._due[tick] = {}
            self._timers[tick] = loop.call_at(tick * _LENGTH, self._go_off, tick)
        self._due[tick][callback] = None
        return tick

    def cancel(self, tick: int, callback: Callable[[], object]) -> None:
        """Do not call back, if that has not happened yet."""
        due = self._due.get(tick, {})
        due.pop(callback, None)
        if not due and tick in self._timers:
            self._timers.pop(tick).cancel()
            del self._due[tick]

    def _go_off(self, tick: int) -> None:
        del self._timers[tick]
        for callback in self._due.pop(tick):
            callback()
