"""What is done in the file, each within a transaction that the caller begins and commits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence


def append(
    connection: sqlite3.Connection, now: float, log: bytes, index: int, record: bytes, ttl: int
) -> bool:
    found = _find(connection, log)
    if found is not None and found[2] <= now:
        delete(connection, now, log)
        found = None
    if index != (found[1] if found is not None else 0):
        return False
    if found is None:
        number = connection.execute(
            "INSERT INTO logs (name, next, expires) VALUES (?, 1, ?)", (log, now + ttl)
        ).lastrowid
    else:
        number = found[0]
        # Never sooner: a record that was written before may have more time left.
        connection.execute(
            "UPDATE logs SET next = next + 1, expires = max(expires, ?) WHERE id = ?",
            (now + ttl, number),
        )
    connection.execute("INSERT INTO records VALUES (?, ?, ?)", (number, index, record))
    return True


def read(
    connection: sqlite3.Connection, now: float, log: bytes, index: int, max_bytes: int
) -> Sequence[bytes] | None:
    found = _find(connection, log)
    if found is None or found[2] <= now or index >= found[1]:
        return []
    records: list[bytes] = []
    rows = connection.execute(
        "SELECT idx, record FROM records WHERE log = ? AND idx >= ? ORDER BY idx",
        (found[0], index),
    )
    # Rows are fetched one by one: what is too much is not even read from the file.
    for number, record in rows:
        max_bytes -= len(record)
        if number != index + len(records) or (records and max_bytes < 0):
            break
        records.append(record)
    rows.close()
    return records or None


def delete(connection: sqlite3.Connection, _now: float, log: bytes) -> None:
    found = _find(connection, log)
    if found is not None:
        connection.execute("DELETE FROM records WHERE log = ?", (found[0],))
        connection.execute("DELETE FROM logs WHERE id = ?", (found[0],))


def sweep(connection: sqlite3.Connection, now: float, limit: int) -> None:
    """Remove up to ``limit`` records of logs whose time is over, the oldest first."""
    expired = connection.execute(
        "SELECT id FROM logs WHERE expires <= ? ORDER BY expires LIMIT ?", (now, limit)
    ).fetchall()
    for (number,) in expired:
        removed = connection.execute(
            "DELETE FROM records WHERE log = ? AND idx IN "
            "(SELECT idx FROM records WHERE log = ? ORDER BY idx LIMIT ?)",
            (number, number, limit),
        ).rowcount
        limit -= removed
        if limit <= 0:
            return
        connection.execute("DELETE FROM logs WHERE id = ?", (number,))


def keeps(connection: sqlite3.Connection, now: float) -> tuple[bool, bool]:
    """Tell whether there are any logs, and whether the time of any is over."""
    first = connection.execute("SELECT min(expires) FROM logs").fetchone()[0]
    return first is not None, first is not None and first <= now


def _find(connection: sqlite3.Connection, log: bytes) -> tuple[int, int, float] | None:
    return connection.execute(  # type: ignore[no-any-return] # rows are untyped
        "SELECT id, next, expires FROM logs WHERE name = ?", (log,)
    ).fetchone()
