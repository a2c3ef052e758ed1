"""Faults for any journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable_stream_conformance._faults import FaultyCalls
from resumable_stream_conformance._journal_wrapper import JournalWrapper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable_stream.journal import Journal
    from resumable_stream_conformance._faults import FaultPlan


class FaultyJournal(JournalWrapper, FaultyCalls):
    """A journal that fails by plan, and on command.

    It keeps the port's contract: an error is true about whether the operation was executed. Of
    the faults, those of messages and subscriptions do not strike a journal.

    Attributes:
        plan: which call suffers what.
        operations: how many calls have been counted.
        suffered: the faults that struck, by the call's number.
    """

    def __init__(self, inner: Journal, plan: FaultPlan | None = None) -> None:
        JournalWrapper.__init__(self, inner)
        FaultyCalls.__init__(self, plan)

    def cut_off(self) -> None:
        """Begin an outage: every call is unavailable."""
        self._out = True

    def restore(self) -> None:
        """End an outage."""
        self._out = False

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        return await self._call(lambda: self.inner.append(log, index, record, ttl=ttl))

    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        return await self._call(
            lambda: self.inner.read(log, index, max_bytes=max_bytes), writes=False
        )

    async def delete(self, log: str) -> None:
        await self._call(lambda: self.inner.delete(log))
