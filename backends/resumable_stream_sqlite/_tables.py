"""The tables of a journal's file, and whether a file is one."""

from __future__ import annotations

import sqlite3
import time

from resumable_stream.errors import BackendFaultError
from resumable_stream_sqlite._errors import code

# "rsjl" in ASCII, in the header of each file of ours; and the version of its tables.
APPLICATION_ID = 0x72736A6C
VERSION = 1

# A log's records are those of its id, so that a long name is written once. Names are UTF-8.
_LOGS = (
    "CREATE TABLE logs (id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, "
    "next INTEGER NOT NULL, expires REAL NOT NULL)"
)
_BY_EXPIRY = "CREATE INDEX logs_by_expiry ON logs (expires)"
_RECORDS = (
    "CREATE TABLE records (log INTEGER NOT NULL, idx INTEGER NOT NULL, record BLOB NOT NULL, "
    "PRIMARY KEY (log, idx))"
)
TABLES = (_LOGS, _BY_EXPIRY, _RECORDS)

_NEW = (0, 0, frozenset[str]())
_OURS = (APPLICATION_ID, VERSION, frozenset(TABLES))

_RETRY_INTERVAL = 0.01
# Large records take half of the processor that they take with the default of 4 KiB; small ones as
# much.
_PAGE_SIZE = 16 * 1024


def prepare(connection: sqlite3.Connection, path: str, patience: float) -> None:
    """Make the tables if the file is new.

    Raises:
        BackendFaultError: the file is another program's, or a later version's. It is as it was.
    """
    # What is deleted is overwritten with zeros, and what is committed is on the disk.
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA synchronous = FULL")
    if _kind(connection) == _NEW:
        connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
        connection.execute("BEGIN IMMEDIATE")
        # Another process may have been faster.
        if _kind(connection) == _NEW:
            for table in TABLES:
                connection.execute(table)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    kind = _kind(connection)
    if kind != _OURS:
        raise _foreign(path, kind)
    _use_wal(connection, path, patience)


def _kind(connection: sqlite3.Connection) -> tuple[int, int, frozenset[str]]:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return application, version, frozenset(table for (table,) in tables)


def _foreign(path: str, kind: tuple[int, int, frozenset[str]]) -> BackendFaultError:
    application, version, _ = kind
    if application != APPLICATION_ID:
        return BackendFaultError(f"{path!r} is another program's database: name a file of its own")
    if version != VERSION:
        return BackendFaultError(
            f"{path!r} has version {version} of the journal's tables, and this package knows "
            f"version {VERSION}: install the package that wrote it, or name another file"
        )
    return BackendFaultError(
        f"the tables of {path!r} are not a journal's any more: restore it, or name another file"
    )


def _use_wal(connection: sqlite3.Connection, path: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    while (mode := _ask_for_wal(connection, give_up=time.monotonic() > deadline)) is None:
        time.sleep(_RETRY_INTERVAL)
    if mode != "wal":
        raise BackendFaultError(f"{path!r} cannot have a log (WAL): name a file on a local disk")


def _ask_for_wal(connection: sqlite3.Connection, *, give_up: bool) -> str | None:
    """Return the mode; None if the file is in use, for which SQLite does not wait here."""
    try:
        return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
    except sqlite3.OperationalError as error:
        if code(error) != sqlite3.SQLITE_BUSY or give_up:
            raise
        return None
