"""The text that all contenders carry, and the reading that checks it while it is timed."""

from __future__ import annotations

import asyncio
import time
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

CHUNK = 40
_FILLER = " goes on, and on, and on, and on, and on"


def text_of(salt: str, chunks: int) -> str:
    """Return that many chunks; no two are the same, in one stream or in different streams."""
    tail = f" {salt}{_FILLER}"[: CHUNK - 8]
    return "".join(f"{number:08d}{tail}" for number in range(chunks))


class Reading:
    """Reads a stream to its end, and compares every character.

    Attributes:
        position: how many characters have come.
        fault: the first difference, or the error that ended the stream; None without either.
        first, caught_up, ended: when the first text, the text up to ``mark``, and the end came.
    """

    def __init__(self, stream: str, text: str, *, mark: int = 0, timed: bool = False) -> None:
        self.stream = stream
        self.position = 0
        self.fault: str | None = None
        self.first = self.caught_up = self.ended = 0
        self._text = text
        self._mark = mark
        self._timed = timed
        self._timed_from = 0
        self._ends = array("q")
        self._times = array("q")
        self.has_first = asyncio.Event()
        self.has_caught_up = asyncio.Event()
        self.has_ended = asyncio.Event()

    async def run(self, stream: AsyncIterator[str]) -> None:
        try:
            chunk = await anext(stream, "")
            self.first = time.monotonic_ns()
            self._take(chunk)
            self.has_first.set()
            if self._timed:
                await self._read_timed(stream)
            else:
                await self._read(stream)
        except Exception as error:  # noqa: BLE001 - recorded as the contender's fault
            self.fault = self.fault or f"{type(error).__name__}: {error}"
        finally:
            self.ended = time.monotonic_ns()
            self.has_first.set()
            self.has_caught_up.set()
            self.has_ended.set()

    async def _read(self, stream: AsyncIterator[str]) -> None:
        # Local names: this loop is part of what is measured, for all contenders alike.
        text, position, mark = self._text, self.position, self._mark
        async for chunk in stream:
            if not text.startswith(chunk, position):
                self._differs(chunk, position)
            position += len(chunk)
            if position >= mark:
                self._reach(position)
                mark = len(text) + 1
        self.position = position

    async def _read_timed(self, stream: AsyncIterator[str]) -> None:
        self._timed_from = self.position
        async for chunk in stream:
            self._take(chunk)
            self._ends.append(self.position)
            self._times.append(time.monotonic_ns())

    def _take(self, chunk: str) -> None:
        if not self._text.startswith(chunk, self.position):
            self._differs(chunk, self.position)
        self.position += len(chunk)
        if self._mark <= self.position:
            self._reach(self.position)

    def _reach(self, position: int) -> None:
        if not self.caught_up:
            self.position = position
            self.caught_up = time.monotonic_ns()
            self.has_caught_up.set()

    def _differs(self, chunk: str, position: int) -> None:
        expected = self._text[position : position + len(chunk)]
        if self.fault is None:
            self.fault = f"at {position}: {chunk!r:.60} instead of {expected!r:.60}"

    def latencies(self, sent: Sequence[int]) -> list[int]:
        """Return how long each chunk took from the source to here, in nanoseconds.

        ``sent`` has the time of each chunk; chunks that were read before timing began are left out.
        """
        found: list[int] = []
        number = self._timed_from // CHUNK
        for end, moment in zip(self._ends, self._times, strict=True):
            while (number + 1) * CHUNK <= end:
                found.append(moment - sent[number])
                number += 1
        return found
