"""The sources, which yield without waiting, or after each turn of the loop, or at a pace."""

from __future__ import annotations

import asyncio
import time
from array import array
from typing import TYPE_CHECKING

from benchmarks.agent.texts import CHUNK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LOOK_EVERY = 256


class Source:
    """Call it as ``make_stream``.

    Args:
        text: what to yield, in chunks.
        gate_at: how many chunks come before the gate, where the source waits; the chunks after the
            gate are measured.
        pace: seconds from chunk to chunk; 0 to yield to the event loop after each, None to never
            wait.
        limit: seconds after the gate after which no more chunks are yielded.
        phase: seconds after the gate until the first chunk at a pace.
        timed: keep the time of each chunk in ``sent``.
    """

    def __init__(
        self,
        text: str,
        *,
        gate_at: int = 0,
        pace: float | None = None,
        limit: float = 60.0,
        phase: float = 0.0,
        timed: bool = False,
    ) -> None:
        self.count = 0
        self.sent = array("q")
        self.at_gate = asyncio.Event()
        self.gate = asyncio.Event()
        self._text = text
        self._gate_at = gate_at
        self._pace = pace
        self._limit = limit
        self._phase = phase
        self._timed = timed

    async def __call__(self) -> AsyncIterator[str]:
        text, timed, pace = self._text, self._timed, self._pace
        for start in range(0, self._gate_at * CHUNK, CHUNK):
            if timed:
                self.sent.append(time.monotonic_ns())
            self.count += 1
            yield text[start : start + CHUNK]
        if self._gate_at:
            self.at_gate.set()
            await self.gate.wait()
        begun = time.monotonic() + self._phase
        give_up = begun + self._limit
        first = self.count
        for start in range(first * CHUNK, len(text), CHUNK):
            if pace is not None:
                # A source that is late skips nothing: it yields as fast as it can.
                due = begun + (self.count - first) * pace
                await asyncio.sleep(max(0.0, due - time.monotonic()) if pace else 0)
            if (pace or self.count % _LOOK_EVERY == 0) and time.monotonic() > give_up:
                return
            if timed:
                self.sent.append(time.monotonic_ns())
            self.count += 1
            yield text[start : start + CHUNK]
