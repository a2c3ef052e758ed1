"""What is kept, for how long, and what the file still has of it afterwards."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from resumable_stream import Journal, OpenedJournal, RecordTooLargeError
from resumable_stream_sqlite import SqliteJournal
from resumable_stream_sqlite._journal import MAX_RECORD_SIZE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SECRET = b"the text of a user, "

DELETE_AND_DIE = f"""
import asyncio, os, sys
from resumable_stream_sqlite import SqliteJournal

async def main():
    journal = SqliteJournal(sys.argv[1])
    assert await journal.append("log", 0, {SECRET!r}, ttl=60)
    await journal.delete("log")
    os._exit(3)

asyncio.run(main())
"""


class Clock:
    """A wall clock that goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def timed(path: Path, clock: Clock) -> AsyncIterator[SqliteJournal]:
    journal = SqliteJournal(path, clock=clock)
    yield journal
    await journal.aclose()


def on_disk(path: Path) -> bytes:
    """Return all bytes of the file and its log.

    Another process reads them: closing the file in this one would let go of SQLite's locks.
    """
    files = sorted(path.parent.glob(f"{path.name}*"))
    return subprocess.run(["cat", *files], check=True, stdout=subprocess.PIPE).stdout  # noqa: S607 - wherever it is


async def wait_for_its_end(path: Path, text: bytes) -> None:
    def wait() -> None:
        deadline = time.monotonic() + 20
        while text in on_disk(path):
            assert time.monotonic() < deadline, f"{text!r} is still on the disk"
            time.sleep(0.05)

    await asyncio.to_thread(wait)


def damage(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


async def whole(journal: Journal, log: str) -> list[bytes]:
    records: list[bytes] = []
    while more := await journal.read(log, len(records), max_bytes=100_000):
        records += more
    return records


def test_it_is_a_journal(path: Path) -> None:
    assert isinstance(SqliteJournal(path), OpenedJournal)


@pytest.mark.rule("JN-7")
async def test_a_log_is_there_until_the_time_of_its_last_record_is_over(
    timed: SqliteJournal, clock: Clock
) -> None:
    assert await timed.append("log", 0, b"a", ttl=10)
    clock.now += 9
    assert await timed.append("log", 1, b"b", ttl=10)
    clock.now += 9.9
    assert await timed.read("log", 0, max_bytes=9) == [b"a", b"b"]
    assert not await timed.append("log", 0, b"c", ttl=10)
    clock.now += 0.1
    assert await timed.read("log", 0, max_bytes=9) == []
    assert await timed.read("log", 1, max_bytes=9) == []
    assert not await timed.append("log", 2, b"c", ttl=10)
    assert await timed.append("log", 0, b"c", ttl=10)
    assert await whole(timed, "log") == [b"c"]


@pytest.mark.rule("JN-7")
async def test_a_later_record_with_less_time_takes_none_from_an_earlier_one(
    timed: SqliteJournal, clock: Clock
) -> None:
    assert await timed.append("log", 0, b"a", ttl=100)
    assert await timed.append("log", 1, b"b", ttl=1)
    clock.now += 99
    assert await whole(timed, "log") == [b"a", b"b"]


@pytest.mark.rule("JN-5")
async def test_a_missing_record_is_never_left_out(journal: SqliteJournal, path: Path) -> None:
    for index in range(4):
        assert await journal.append("log", index, b"%d" % index, ttl=60)
    damage(path, "DELETE FROM records WHERE idx IN (0, 2)")
    assert await journal.read("log", 0, max_bytes=100) is None
    assert await journal.read("log", 1, max_bytes=100) == [b"1"]
    assert await journal.read("log", 2, max_bytes=100) is None
    assert await journal.read("log", 3, max_bytes=100) == [b"3"]
    assert await journal.read("log", 4, max_bytes=100) == []


@pytest.mark.rule("JN-6")
async def test_a_record_of_exactly_the_limit_fits(journal: SqliteJournal) -> None:
    record = bytes(range(256)) * (MAX_RECORD_SIZE // 256)
    assert journal.max_record_size == len(record)
    assert await journal.append("log", 0, record, ttl=60)
    with pytest.raises(RecordTooLargeError):
        await journal.append("log", 1, record + b"x", ttl=60)
    assert await journal.append("log", 1, b"", ttl=60)
    assert await journal.read("log", 0, max_bytes=1) == [record]
    assert await journal.read("log", 1, max_bytes=1) == [b""]


async def test_an_index_beyond_all_numbers_of_sqlite_is_not_written(journal: SqliteJournal) -> None:
    for index in (-1, 2**63, 2**70):
        assert not await journal.append("log", index, b"", ttl=60)
        assert await journal.read("log", max(index, 0), max_bytes=1) == []


@pytest.mark.rule("JN-8")
async def test_names_that_look_alike_are_two_logs(journal: SqliteJournal) -> None:
    names = ["a", "A", "a ", "a\0", "a\0b", "ä", "a\u0308", "%", "*", "'", '"', ";", "\ufeffa"]
    names += ["x" * 1024, "x" * 1023, "\U0001f600" * 1024, "1", "1.0", "x'61'"]
    for name in names:
        assert await journal.append(name, 0, name.encode(), ttl=60)
    for name in names:
        assert await whole(journal, name) == [name.encode()]


async def test_a_name_that_cannot_be_encoded_harms_nobody_else(journal: SqliteJournal) -> None:
    good = journal.append("log", 0, b"", ttl=60)
    bad = journal.append("\ud800", 0, b"", ttl=60)
    results = await asyncio.gather(good, bad, return_exceptions=True)
    assert results[0] is True
    assert isinstance(results[1], UnicodeEncodeError)


@pytest.mark.rule("JN-7")
@pytest.mark.usefixtures("tidy_often")
async def test_expired_text_leaves_the_file_and_its_log(
    timed: SqliteJournal, clock: Clock, path: Path
) -> None:
    for index in range(300):
        assert await timed.append("old", index, SECRET * 100, ttl=10)
    assert await timed.append("new", 0, b"is kept", ttl=60)
    assert SECRET in on_disk(path)
    clock.now += 11
    await wait_for_its_end(path, SECRET)
    assert b"old" not in on_disk(path)
    assert await whole(timed, "new") == [b"is kept"]
    size = (await asyncio.to_thread(path.stat)).st_size
    for index in range(300):
        assert await timed.append("next", index, SECRET * 100, ttl=10)
    await timed.aclose()
    grown = (await asyncio.to_thread(path.stat)).st_size
    assert grown < size * 1.1, "the room of expired records is used again"


@pytest.mark.rule("JN-9")
@pytest.mark.usefixtures("tidy_often")
async def test_deleted_text_leaves_the_file_and_its_log(journal: SqliteJournal, path: Path) -> None:
    for index in range(20):
        assert await journal.append("log", index, SECRET * 1000, ttl=60)
    await journal.delete("log")
    assert await journal.read("log", 0, max_bytes=1) == []
    await wait_for_its_end(path, SECRET)


@pytest.mark.rule("JN-9")
async def test_a_deleted_log_begins_again(journal: SqliteJournal) -> None:
    await journal.delete("log")
    for _ in range(3):
        assert await journal.append("log", 0, b"a", ttl=60)
        assert await journal.append("log", 1, b"b", ttl=60)
        await journal.delete("log")
        assert await whole(journal, "log") == []


async def test_text_that_expired_while_nobody_was_there_goes_with_the_next_call(
    path: Path, clock: Clock
) -> None:
    first = SqliteJournal(path, clock=clock)
    assert await first.append("log", 0, SECRET, ttl=10)
    await first.aclose()
    assert SECRET in on_disk(path)
    clock.now += 11
    second = SqliteJournal(path, clock=clock)
    assert await second.read("another", 0, max_bytes=1) == []
    await wait_for_its_end(path, SECRET)
    await second.aclose()


@pytest.mark.usefixtures("tidy_often")
async def test_text_that_a_dead_process_has_deleted_is_removed_by_another(path: Path) -> None:
    journal = SqliteJournal(path)
    assert await journal.append("another", 0, b"", ttl=60)
    command = [sys.executable, "-c", DELETE_AND_DIE, str(path)]
    ran = await asyncio.to_thread(subprocess.run, command, check=False)
    assert ran.returncode == 3
    await wait_for_its_end(path, SECRET)
    await journal.aclose()


async def test_closing_removes_what_was_deleted(path: Path) -> None:
    other, journal = SqliteJournal(path), SqliteJournal(path)
    assert await other.append("another", 0, b"", ttl=60)
    # Its first turn ends with looking for what has expired: let it be over.
    assert await other.read("another", 0, max_bytes=1) == [b""]
    assert await journal.append("log", 0, SECRET, ttl=60)
    await journal.delete("log")
    await journal.aclose()
    assert SECRET not in on_disk(path)
    await other.aclose()


@pytest.mark.rule("JN-5")
async def test_a_read_gives_what_fits(journal: SqliteJournal) -> None:
    appends = [journal.append("log", index, b"x" * 30_000, ttl=60) for index in range(100)]
    assert all(await asyncio.gather(*appends))
    for limit, count in ((1, 1), (30_000, 1), (59_999, 1), (60_000, 2), (90_001, 3)):
        assert await journal.read("log", 97, max_bytes=limit) == [b"x" * 30_000] * count
