"""What all readers have in common: they take runs of chunks, and hand out one chunk at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod

from resumable_stream._text.offsets import OffsetUnit, length


class RunReader(ABC):
    """Hands out the chunks of one run after another.

    For each chunk it does as little as it can: the offset is counted only when it is asked for.
    """

    __slots__ = (
        "_begun",
        "_counted",
        "_offset",
        "_read",
        "_run",
        "_unit",
    )

    def __init__(self, offset: int, unit: OffsetUnit) -> None:
        self._unit = unit
        self._run: list[str] = []
        self._read = 0  # how many chunks of the run were handed out
        self._offset = offset  # after the first ``_counted`` chunks of the run
        self._counted = 0
        self._begun = False  # a chunk of an earlier run was handed out

    @property
    def offset(self) -> int:
        """How much of the text was read, from its beginning."""
        if self._counted < self._read:
            self._offset += length("".join(self._run[self._counted : self._read]), self._unit)
            self._counted = self._read
        return self._offset

    async def next(self) -> str:
        while self._read == len(self._run):
            await self._next_run()
        chunk = self._run[self._read]
        self._read += 1
        return chunk

    @abstractmethod
    async def _next_run(self) -> None:
        """Wait for another run and begin it, or for another caller who does; raise at the end."""

    def _begin_run(self, run: list[str]) -> None:
        if self._read:
            self._offset, self._counted, self._begun = self.offset, 0, True
        self._run, self._read = run, 0
