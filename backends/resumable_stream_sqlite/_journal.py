"""The port, over a queue of jobs for the file."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from resumable_stream.adapter_kit import LoopBound
from resumable_stream.errors import RecordTooLargeError
from resumable_stream_sqlite import _records
from resumable_stream_sqlite._file import File, Job
from resumable_stream_sqlite._queue import JobQueue
from resumable_stream_sqlite._settings import checked_path, checked_timeout, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

MAX_RECORD_SIZE = 1024 * 1024

# A call may wait for the turn before its own, and then for another process: twice this share of
# its time, so that it still learns what it waited for.
_PATIENCE = 0.4


def open_journal(url: str) -> SqliteJournal:
    """Open the journal of ``sqlite:///relative/path`` or ``sqlite:////absolute/path``.

    The file is created at the first call; its folder has to be there.

    Raises:
        InvalidSettingError: the URL has another form.
    """
    return SqliteJournal(path_of(url))


class SqliteJournal:
    """A journal in the SQLite file at ``path``, for one event loop at a time.

    Args:
        path: the file; it is created if it is not there. Its folder has to be there.
        timeout: for how many seconds a call waits at most, be it for the disk or for other
            processes.
        clock: gives the time in seconds. All who use the file must share it.

    Raises:
        InvalidSettingError: an argument is not as described.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        file = checked_path(path)
        limit = checked_timeout(timeout)
        patience = limit * _PATIENCE
        self._queue = LoopBound("SQLite", lambda: JobQueue(File(file, patience, clock), limit))

    @property
    def max_record_size(self) -> int:
        return MAX_RECORD_SIZE

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        if len(record) > MAX_RECORD_SIZE:
            raise RecordTooLargeError(
                f"a record of {len(record)} bytes exceeds max_record_size {MAX_RECORD_SIZE}"
            )
        run = partial(_records.append, log=log.encode(), index=index, record=record, ttl=ttl)
        return bool(await self._queue.get().do(Job(run, writes=True, size=len(record))))

    async def read(self, log: str, index: int, *, max_bytes: int) -> Sequence[bytes] | None:
        run = partial(_records.read, log=log.encode(), index=index, max_bytes=max_bytes)
        found: list[bytes] | None = await self._queue.get().do(Job(run, writes=False))
        return found

    async def delete(self, log: str) -> None:
        run = partial(_records.delete, log=log.encode())
        await self._queue.get().do(Job(run, writes=True))

    async def aclose(self) -> None:
        queue = self._queue.close()
        if queue is not None:
            await queue.aclose()
