"""The journal over a bus."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from resumable_stream.errors import BackendUnavailableError, RecordTooLargeError
from resumable_stream_memory._bus import Bus, join_bus, leave_bus

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream_memory._logs import Logs

MAX_RECORD_SIZE = 1024 * 1024


def open_journal(url: str) -> MemoryJournal:
    """Open the journal of ``memory://name``; the name may be empty."""
    return MemoryJournal(url.partition("://")[2])


class MemoryJournal:
    """A journal on the bus of the given name, in this process.

    It keeps its bus, and so all text on it, until it is closed or forgotten. Each backend has one
    as its attribute ``journal``.

    Args:
        name: journals and backends of the same name share one bus.
        clock: gives seconds that never go back, for times to live. Journals of one name must share
            it.
    """

    def __init__(self, name: str = "", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._bus: Bus | None = join_bus(name, self)
        self._clock = clock

    @property
    def max_record_size(self) -> int:
        return MAX_RECORD_SIZE

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        if len(record) > MAX_RECORD_SIZE:
            raise RecordTooLargeError(
                f"a record of {len(record)} bytes exceeds max_record_size {MAX_RECORD_SIZE}"
            )
        logs = await self._reach()
        now = self._clock()
        return logs.append(log, index, record, deadline=now + ttl, now=now)

    async def read(self, log: str, index: int, *, max_bytes: int) -> list[bytes]:
        logs = await self._reach()
        return logs.read(log, index, max_bytes=max_bytes, now=self._clock())

    async def delete(self, log: str) -> None:
        logs = await self._reach()
        logs.delete(log)

    async def aclose(self) -> None:
        if self._bus is not None:
            leave_bus(self._name, self)
        self._bus = None

    async def _reach(self) -> Logs:
        """Give way to others once, as a round trip to a server would."""
        self._open_bus()
        await asyncio.sleep(0)
        return self._open_bus().logs

    def _open_bus(self) -> Bus:
        if self._bus is None:
            raise BackendUnavailableError("this in-memory journal was closed; open another one")
        return self._bus
