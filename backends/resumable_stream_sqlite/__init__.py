"""A journal in one SQLite file: ``sqlite:///answers.db`` and ``sqlite:////var/lib/answers.db``.

No server, and no dependency beside the standard library. Any number of adapters and processes of
one machine may use a file at once; a file on a network drive is not supported, as SQLite's log
(WAL) is not.

**What True is worth.** A record is answered for once it was written to the disk and synced
(``synchronous=FULL``): it survives the death of the process, and a power cut if the disk keeps
what it has confirmed. All appends that wait at one moment share a transaction, and its sync.

**How long text rests in the file.** A whole log is kept for as long as its last record, by the
wall clock, which all processes share. While the file is in use on an event loop, expired and
deleted records are overwritten with zeros in the file (``secure_delete``) and cut off from its
``-wal``, some ten seconds later, or once no other process is reading. While no process uses the
file, the text rests in it: the first call of the next one removes it. The file keeps the size that
it once had, and reuses the room; ``VACUUM`` makes it smaller.
"""

from __future__ import annotations

from resumable_stream_sqlite._journal import SqliteJournal, open_journal

__all__ = ["SqliteJournal", "open_journal"]
