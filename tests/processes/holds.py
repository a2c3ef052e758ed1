"""Stops a producer in a chosen call, so that its process is killed right there.

A call that is held never returns; the rest of the process, with its lease and heartbeats, goes on.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING

from resumable_stream_conformance import BackendWrapper, JournalWrapper

if TYPE_CHECKING:
    from resumable_stream.journal import Journal
    from resumable_stream.ports import Backend


class Point(StrEnum):
    """A moment of a producer's life, named by what it does next."""

    POINTING = "pointing"
    """It is about to write the pointer to its log."""

    APPENDING = "appending"
    """It is about to hand a record to the journal."""

    APPENDED = "appended"
    """The journal has taken a record, and the producer does not know."""

    RECORDING = "recording"
    """It is about to write its outcome."""

    MARKING = "marking"
    """It is about to mark the stream as over."""


class Holds:
    """Which stream is to be held where, and which are."""

    def __init__(self) -> None:
        self._points: dict[str, Point] = {}
        self._held: set[str] = set()
        self._changed = asyncio.Condition()

    def arm(self, stream: str, point: str) -> None:
        self._points[stream] = Point(point)

    async def held(self, stream: str) -> None:
        """Wait until the stream is held."""
        async with self._changed:
            await self._changed.wait_for(lambda: stream in self._held)

    async def come_to(self, stream: str, point: Point) -> None:
        """Stay for ever, if the stream is to be held here."""
        if self._points.get(stream) is point:
            async with self._changed:
                self._held.add(stream)
                self._changed.notify_all()
            await asyncio.Event().wait()


class HeldBackend(BackendWrapper):
    def __init__(self, inner: Backend, holds: Holds) -> None:
        super().__init__(inner)
        self._holds = holds

    async def create(self, key: str, value: str, *, ttl: int) -> bool:
        await self._come_to(key, value)
        return await super().create(key, value, ttl=ttl)

    async def compare_and_set(self, key: str, expected: str, value: str, *, ttl: int) -> bool:
        await self._come_to(key, value)
        return await super().compare_and_set(key, expected, value, ttl=ttl)

    async def _come_to(self, key: str, value: str) -> None:
        _, _, name = key.partition(":rs:")
        kind, _, stream = name.partition(":")
        if kind == "outcome":
            running = '"status":"running"' in value
            await self._holds.come_to(stream, Point.POINTING if running else Point.RECORDING)
        elif value == "DONE":
            await self._holds.come_to(stream, Point.MARKING)


class HeldJournal(JournalWrapper):
    def __init__(self, inner: Journal, holds: Holds) -> None:
        super().__init__(inner)
        self._holds = holds

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        _, _, name = log.partition(":rs:journal:")
        _, _, stream = name.partition(":")
        await self._holds.come_to(stream, Point.APPENDING)
        written = await super().append(log, index, record, ttl=ttl)
        await self._holds.come_to(stream, Point.APPENDED)
        return written
