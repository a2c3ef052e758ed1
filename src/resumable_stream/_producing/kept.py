"""Streams that are over and still served, to readers whose connection broke just before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from resumable_stream._producing.producer import Producer

# An instance keeps this many bytes of text; beyond it the oldest streams go first.
_MOST_BYTES = 64 * 1024 * 1024
# Each stream counts for this many bytes more than its text.
_OVERHEAD = 16 * 1024
_LEAST_WAIT = 0.001


class _Entry(NamedTuple):
    producer: Producer
    until: float
    size: int


class Kept:
    """Streams that are over, each for ``grace`` seconds, on one timer.

    Args:
        grace: 0 keeps none.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._entries: dict[int, _Entry] = {}  # by generation, in order of age
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def find(self, stream_id: str, generation: int) -> Producer | None:
        entry = self._entries.get(generation)
        return entry.producer if entry and entry.producer.stream_id == stream_id else None

    def add(self, producer: Producer) -> bool:
        """Keep the stream, and let go of older ones for it; False if it is not to be kept."""
        size = producer.log.size + _OVERHEAD
        if not self._grace or size > _MOST_BYTES or producer.generation in self._entries:
            return False
        loop = asyncio.get_running_loop()
        self._entries[producer.generation] = _Entry(producer, loop.time() + self._grace, size)
        self._bytes += size
        while self._bytes > _MOST_BYTES:
            self._let_go(next(iter(self._entries.values())).producer)
        if self._timer is None:
            self._timer = loop.call_later(self._grace, self._look)
        return True

    def discard(self, producer: Producer) -> bool:
        """Keep the stream no longer; return whether it was kept."""
        if self.find(producer.stream_id, producer.generation) is not producer:
            return False
        self._bytes -= self._entries.pop(producer.generation).size
        return True

    def close(self) -> None:
        """Keep none from now on; the caller releases those that were kept."""
        self._grace = 0.0
        self._entries.clear()
        self._bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        for entry in list(self._entries.values()):
            if entry.until > loop.time():
                # A moment on, at least: a timer may go off a little early, and would at once again.
                self._timer = loop.call_at(max(entry.until, loop.time() + _LEAST_WAIT), self._look)
                return
            self._let_go(entry.producer)

    def _let_go(self, producer: Producer) -> None:
        self.discard(producer)
        producer.let_go()
