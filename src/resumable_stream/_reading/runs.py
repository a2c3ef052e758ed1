"""What all readers have in common: they take runs of chunks, and hand out chunks or runs."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from itertools import islice
from operator import length_hint
from typing import TYPE_CHECKING

from resumable_stream._text.offsets import OffsetUnit, length

if TYPE_CHECKING:
    from collections.abc import Iterator

# One step of ``next_run`` hands out at most this many characters, plus _CHUNK_COST for each chunk.
_STEP_SIZE = 64 * 1024
# About what the field names and the id of an event add to its chunk.
_CHUNK_COST = 32


class RunReader(ABC):
    """Hands out the chunks of one run after another, singly or many in one step.

    For each chunk it does as little as it can: the offset is counted only when it is asked for.

    Attributes:
        ahead: the chunks that can be taken without waiting; to take one is to have read it.
    """

    __slots__ = (
        "_begun",
        "_counted",
        "_full",
        "_offset",
        "_run",
        "_unbroken",
        "_unit",
        "_units",
        "ahead",
    )

    def __init__(self, offset: int, unit: OffsetUnit) -> None:
        self._unit = unit
        self._run: list[str] = []
        self._units: int | None = None  # how much text the run has, if that is known
        self.ahead: Iterator[str] = iter(self._run)  # of the list: it knows its place
        self._offset = offset  # after the first ``_counted`` chunks of the run
        self._counted = 0
        self._begun = False  # a chunk of an earlier run was handed out
        self._unbroken = 0  # chunks of runs begun since the event loop had its turn
        self._full = False  # the last step of ``next_run`` has left chunks that were there

    @property
    def offset(self) -> int:
        """How much of the text was read, from its beginning."""
        self._count()
        return self._offset

    def _count(self) -> None:
        """Count the offset after all chunks of the run that were handed out."""
        size = len(self._run)
        counted, read = self._counted, size - length_hint(self.ahead)
        if counted < read:
            if self._units is not None and not counted and read == size:
                self._offset += self._units
            else:
                self._offset += length("".join(self._run[counted:read]), self._unit)
            self._counted = read

    @property
    def _read(self) -> int:
        """How many chunks of the run were handed out."""
        return len(self._run) - length_hint(self.ahead)

    async def next_run(self) -> list[str]:
        """Return all chunks that are there, up to the size of a step; wait only if there are none.

        A chunk that is larger than a step is returned alone.
        """
        if self._full:
            # A reader that never waits gives way to the event loop after each full step.
            self._full = False
            await asyncio.sleep(0)
        while not length_hint(self.ahead):
            await self.fetch()
        # Nothing is awaited from here on, so a cancelled step has taken nothing.
        taken: list[str] = []
        room = _STEP_SIZE
        full = False
        while not full and (length_hint(self.ahead) or self._begin_next()):
            run = self._run[self._read :]
            room -= sum(map(len, run)) + _CHUNK_COST * len(run)
            full = room < 0
            while room < 0 and len(taken) + len(run) > 1:
                room += len(run.pop()) + _CHUNK_COST
            taken += islice(self.ahead, len(run))
        self._full = full
        return taken

    @property
    @abstractmethod
    def last_event_id(self) -> str | None:
        """The id of the place after the last chunk handed out, if it has one."""

    @property
    def left(self) -> bool:
        """``close`` would certainly release nothing more."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Read no more."""

    @abstractmethod
    async def aclose(self) -> None:
        """Read no more, and release everything."""

    @abstractmethod
    async def fetch(self) -> None:
        """Wait until chunks are ahead, or another caller has taken them; raise at the end.

        Called when none are ahead.
        """

    @abstractmethod
    def _begin_next(self) -> bool:
        """Begin the run that follows, if it is there already; return whether it was."""

    def _begin_run(self, run: list[str], units: int | None = None) -> None:
        """Begin a run; ``units`` says how much text it has, if that is known."""
        if self._run:
            self._count()
            if self._counted:
                self._counted, self._begun = 0, True
        self._run, self._units, self.ahead = run, units, iter(run)
        self._unbroken += len(run)

    def _drop_run(self) -> None:
        """Hold a run no longer that was read to its end."""
        if self._run:
            self._count()
            self._counted, self._begun = 0, True
            self._run, self._units = [], None  # nothing is ahead of ``ahead``, as it was

    async def _give_way(self) -> None:
        """Let the event loop have its turn."""
        self._unbroken = 0
        await asyncio.sleep(0)
