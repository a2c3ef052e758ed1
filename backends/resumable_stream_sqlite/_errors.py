"""What SQLite's errors mean to a caller."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

from resumable_stream.adapter_kit import caused
from resumable_stream.errors import (
    AccessDeniedError,
    BackendError,
    BackendFaultError,
    BackendUnavailableError,
    JournalFullError,
    OutcomeUnknownError,
)

_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_DENIED = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code; 0 if the error is not SQLite's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_lasting(error: sqlite3.Error) -> bool:
    """Tell whether the connection is worth nothing after the error."""
    return code(error) not in _LOCKED | {sqlite3.SQLITE_FULL}


def translated(error: sqlite3.Error, path: str, *, committing: bool = False) -> BackendError:
    """Return what the error means.

    Args:
        error: what SQLite raised.
        path: the file.
        committing: it was raised by a COMMIT.
    """
    found = code(error)
    if found in _LOCKED:
        return caused(
            BackendUnavailableError(f"another process has kept {path!r} locked for too long"), error
        )
    if found == sqlite3.SQLITE_FULL:
        return caused(
            JournalFullError(
                f"there is no room for {path!r}: make room on its disk, or keep text for less time"
            ),
            error,
        )
    if found in _DAMAGED:
        return caused(
            BackendFaultError(f"{path!r} is damaged, or no SQLite file: restore it, or remove it"),
            error,
        )
    if found in _DENIED:
        return caused(_denied(path), error)
    if found == sqlite3.SQLITE_CANTOPEN:
        return caused(_not_opened(path, error), error)
    if found == sqlite3.SQLITE_IOERR:
        if committing:
            # The commit may be in the log, although it could not be synced.
            return caused(
                OutcomeUnknownError(f"writing to {path!r} broke off: {error}; look at its disk"),
                error,
            )
        return caused(
            BackendUnavailableError(f"the disk of {path!r} fails: {error}; look at it"), error
        )
    return caused(BackendFaultError(f"SQLite refused to work on {path!r}: {error}"), error)


def _denied(path: str) -> AccessDeniedError:
    return AccessDeniedError(
        f"this process may not write {path!r}: give its user the right to write the file, "
        "and to create files in the file's folder"
    )


def _not_opened(path: str, error: sqlite3.Error) -> BackendError:
    folder = Path(path).parent
    try:
        if Path(path).is_dir():
            return BackendFaultError(f"{path!r} is a folder: name a file in it")
        held = folder.stat()
    except FileNotFoundError:
        return BackendUnavailableError(
            f"the folder {str(folder)!r} of the journal's file does not exist: create it"
        )
    except PermissionError:
        return _denied(path)
    except NotADirectoryError:
        held = None
    if held is None or not stat.S_ISDIR(held.st_mode):
        return BackendFaultError(
            f"{str(folder)!r} is no folder, so it cannot hold the journal's file: name another path"
        )
    if _may_write(folder) and (not os.path.lexists(path) or _may_write(path)):
        return BackendUnavailableError(f"{path!r} cannot be opened: {error}")
    return _denied(path)


def _may_write(path: str | Path) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(path, os.R_OK | os.W_OK, effective_ids=effective)
