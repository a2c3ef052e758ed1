"""The file, as one thread at a time works on it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resumable_stream.errors import BackendError
from resumable_stream_sqlite._errors import is_lasting, translated
from resumable_stream_sqlite._records import keeps, sweep
from resumable_stream_sqlite._tables import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Between two sweeps of logs whose time is over, in seconds.
TIDY_INTERVAL = 10.0

# How many records one sweep removes: others have their turn before the next.
_SWEPT = 128
# For how many seconds a sweep waits for others, before it is left for later.
_SWEEP_PATIENCE = 0.1


@dataclass(frozen=True)
class Job:
    """One operation on the file: what ``run`` does, with a connection and the present time."""

    run: Callable[[sqlite3.Connection, float], Any]
    writes: bool
    size: int = 0


class File:
    """A journal's file, and the connection to it, which is opened as needed.

    Args:
        path: the file.
        patience: for how many seconds one transaction waits for those of others.
        clock: gives the time that all who use the file share.
    """

    def __init__(self, path: str, patience: float, clock: Callable[[], float]) -> None:
        self._path = path
        self._patience = patience
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def transact(self, jobs: Sequence[Job], *, writes: bool) -> list[Any] | BackendError:
        """Do the jobs in one transaction; return their results, or why none of them is done."""
        committing = False
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            now = self._clock()
            results = [job.run(connection, now) for job in jobs]
            committing = writes
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._recover(error)
            return translated(error, self._path, committing=committing)
        except BackendError as error:
            return error
        except BaseException:
            self.close()  # which rolls back
            raise
        return results

    def tidy(self) -> float | None:
        """Remove some of what has expired, from the file and its log.

        Returns:
            After how many seconds to call this again; None if nothing is kept in the file.
        """
        try:
            connection = self._connected()
            kept, expired = keeps(connection, self._clock())
            if expired:
                self._wait_at_most(connection, _SWEEP_PATIENCE)
                sweeping = Job(lambda swept, now: sweep(swept, now, _SWEPT), writes=True)
                swept = self.transact([sweeping], writes=True)
                self._wait_at_most(connection, self._patience)
                return 0 if isinstance(swept, list) else TIDY_INTERVAL
            # Even if nothing was written here: another process may have died before it could.
            wiped = self._wipe(connection)
        except sqlite3.Error as error:
            self._recover(error)
        except BackendError:
            pass  # the next call says it to its caller
        else:
            return None if wiped and not kept else TIDY_INTERVAL
        return TIDY_INTERVAL

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # The last connection to the file removes its log, unless another has taken its place.
            with suppress(sqlite3.Error), closing(connection):
                self._wipe(connection)

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None and self._identity != self._found():
            # Somebody has removed the file, or put another in its place.
            self.close()
        if self._connection is None:
            connection = sqlite3.connect(
                self._path, timeout=self._patience, isolation_level=None, check_same_thread=False
            )
            try:
                prepare(connection, self._path, self._patience)
            except BaseException:
                connection.close()
                raise
            self._connection, self._identity = connection, self._found()
        return self._connection

    def _found(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - it is text for SQLite, and asked often
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _recover(self, error: sqlite3.Error) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self.close()
        else:
            if is_lasting(error):
                self.close()

    def _wipe(self, connection: sqlite3.Connection) -> bool:
        """Empty the file's log, which still has what was deleted; tell whether nobody is in it."""
        self._wait_at_most(connection, _SWEEP_PATIENCE)
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._wait_at_most(connection, self._patience)
        return not busy

    @staticmethod
    def _wait_at_most(connection: sqlite3.Connection, seconds: float) -> None:
        connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
