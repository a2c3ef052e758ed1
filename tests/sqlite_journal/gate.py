"""Holds up the thread of a journal within a transaction."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resumable_stream_sqlite import SqliteJournal


class Gate:
    """A clock that stops the thread which asks it, within its transaction, while it is shut."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()
        self._open.set()

    def __call__(self) -> float:
        self.reached.set()
        assert self._open.wait(30)
        return time.time()

    def shut(self) -> None:
        self._open.clear()
        self.reached.clear()

    def open(self) -> None:
        self._open.set()

    async def reach(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, 30)


async def shut_in(journal: SqliteJournal, gate: Gate) -> asyncio.Task[bool]:
    """Return an append that is in its transaction, behind which all others wait."""
    assert await journal.append("log", 0, b"0", ttl=60)
    # The first turn ends with a look for what has expired, which asks the clock, too.
    assert await journal.read("log", 0, max_bytes=1) == [b"0"]
    gate.shut()
    task = asyncio.create_task(journal.append("log", 1, b"1", ttl=60))
    await gate.reach()
    return task
