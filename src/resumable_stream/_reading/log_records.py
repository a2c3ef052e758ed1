"""Read the records of one run's log, in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resumable_stream._backoff import Backoff
from resumable_stream.errors import AccessDeniedError, BackendUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable_stream.journal import Journal

# How much is read at a time.
_STEP = 256 * 1024
_FIRST_PAUSE = 0.05


class LogRecords:
    """A cursor into a log.

    Args:
        journal: where the log is.
        name: of the log.
        tolerance: for how many seconds the journal may be away, once it has answered.

    Attributes:
        index: of the record to read next, which the caller moves on.
    """

    __slots__ = ("_journal", "_name", "_tolerance", "index")

    def __init__(self, journal: Journal, name: str, tolerance: float) -> None:
        self._journal = journal
        self._name = name
        self._tolerance = tolerance
        self.index = 0

    async def read(self) -> Sequence[bytes] | None:
        """Read on, however often the journal fails meanwhile.

        Returns:
            Nothing at the end of what is there; None if the next record is gone.

        Raises:
            BackendError: the journal did not answer.
        """
        clock, backoff = asyncio.get_running_loop().time, Backoff(_FIRST_PAUSE)
        since = clock()
        while True:
            try:
                return await self._journal.read(self._name, self.index, max_bytes=_STEP)
            except AccessDeniedError:
                raise
            except BackendUnavailableError:
                if not self.index or clock() - since >= self._tolerance:
                    raise
                await asyncio.sleep(backoff.next())
