"""What is said of a file that cannot be used, and of one that is removed."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from resumable_stream import (
    AccessDeniedError,
    BackendFaultError,
    BackendUnavailableError,
    JournalFullError,
    OutcomeUnknownError,
)
from resumable_stream_sqlite import SqliteJournal
from resumable_stream_sqlite._errors import translated
from resumable_stream_sqlite._tables import APPLICATION_ID, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534

LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
connection.close()
"""

LIMITED = """
import asyncio, resource, sys
from resumable_stream import OutcomeUnknownError
from resumable_stream_sqlite import SqliteJournal

async def main():
    journal = SqliteJournal(sys.argv[1])
    assert await journal.append("log", 0, b"first", ttl=60)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
    try:
        await journal.append("log", 1, b"x" * 1_000_000, ttl=60)
    except OutcomeUnknownError as error:
        print(error)
    assert await journal.read("log", 0, max_bytes=100) == [b"first"]
    assert await journal.append("log", 1, b"second", ttl=60)
    await journal.aclose()

asyncio.run(main())
"""


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of the user's own, for a test that runs without the rights of root."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        root = os.geteuid() == 0
        if root:
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            yield Path(folder)
        finally:
            if root:
                os.seteuid(0)


async def refusal(path: Path) -> str:
    """Return what a fault of the file is called, which is the same for each call."""
    journal = SqliteJournal(path)
    said = set()
    for _ in range(2):
        with pytest.raises(BackendFaultError) as refused:
            await journal.append("log", 0, b"", ttl=60)
        said.add(str(refused.value))
        with pytest.raises(BackendFaultError):
            await journal.read("log", 0, max_bytes=1)
    await journal.aclose()
    (text,) = said
    return text


async def test_a_missing_folder_is_named_until_it_is_there(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "missing" / "answers.db")
    with pytest.raises(BackendUnavailableError, match=r"'.*/missing' .*does not exist: create it"):
        await journal.append("log", 0, b"", ttl=60)
    (tmp_path / "missing").mkdir()
    assert await journal.append("log", 0, b"", ttl=60)
    await journal.aclose()


async def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert "is a folder: name a file in it" in await refusal(tmp_path)


async def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is no folder" in await refusal(tmp_path / "file" / "answers.db")


def test_a_file_that_is_no_database_stays_as_it_is(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 1000)
    assert "no SQLite file" in asyncio.run(refusal(path))
    assert path.read_bytes() == b"Dear diary, " * 1000
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (["CREATE TABLE accounts (id INTEGER)"], "another program's"),
        (["PRAGMA user_version = 7"], "another program's"),
        (["PRAGMA application_id = 7"], "another program's"),
        ([f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA user_version = 2"], "has version 2"),
        ([f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA user_version = 1"], "not a journal"),
        (
            [
                f"PRAGMA application_id = {APPLICATION_ID}",
                "PRAGMA user_version = 1",
                *TABLES,
                "ALTER TABLE records ADD COLUMN colour TEXT",
            ],
            "not a journal",
        ),
        (list(TABLES), "another program's"),
    ],
)
def test_a_database_of_another_kind_stays_as_it_is(
    path: Path, statements: list[str], said: str
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    before = path.read_bytes()
    assert said in asyncio.run(refusal(path))
    assert path.read_bytes() == before


def test_a_damaged_file_is_named(path: Path) -> None:
    async def write() -> None:
        journal = SqliteJournal(path)
        for index in range(50):
            assert await journal.append("log", index, b"x" * 1000, ttl=60)
        await journal.aclose()

    asyncio.run(write())
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 5)
    assert "damaged" in asyncio.run(refusal(path))


@pytest.mark.parametrize("mode", [0o555, 0])
def test_a_folder_where_no_file_may_be_created(unprivileged: Path, mode: int) -> None:
    folder = unprivileged / "own"
    folder.mkdir()
    folder.chmod(mode)

    async def main() -> None:
        journal = SqliteJournal(folder / "answers.db")
        with pytest.raises(AccessDeniedError, match=r"answers\.db.*right to write"):
            await journal.append("log", 0, b"", ttl=60)
        await journal.aclose()

    asyncio.run(main())
    folder.chmod(0o755)


def test_a_file_that_may_only_be_read(unprivileged: Path) -> None:
    def allow_writing() -> None:
        for file in unprivileged.iterdir():
            file.chmod(0o644)

    async def main() -> None:
        path = unprivileged / "answers.db"
        journal = SqliteJournal(path)
        assert await journal.append("log", 0, b"a", ttl=60)
        await journal.aclose()
        path.chmod(0o444)
        journal = SqliteJournal(path)
        assert await journal.read("log", 0, max_bytes=1) == [b"a"]
        with pytest.raises(AccessDeniedError, match=r"answers\.db.*right to write"):
            await journal.append("log", 1, b"b", ttl=60)
        allow_writing()
        assert await journal.append("log", 1, b"b", ttl=60)
        await journal.aclose()

    asyncio.run(main())


@pytest.mark.rule("JN-6")
async def test_a_full_journal_keeps_what_it_has(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect

    def limited(*args: object, **settings: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **settings)  # type: ignore[call-overload] # whatever it takes
        connection.execute("PRAGMA max_page_count = 30")
        return connection

    monkeypatch.setattr(sqlite3, "connect", limited)
    journal = SqliteJournal(path)
    assert await journal.append("log", 0, b"x" * 300_000, ttl=60)
    for _ in range(2):
        with pytest.raises(JournalFullError, match=r"no room for '.*answers\.db'"):
            await journal.append("log", 1, b"y" * 300_000, ttl=60)
    assert await journal.read("log", 0, max_bytes=1) == [b"x" * 300_000]
    assert await journal.append("log", 1, b"small", ttl=60)
    await journal.delete("log")
    assert await journal.append("log", 0, b"y" * 300_000, ttl=60)
    await journal.aclose()


def test_a_commit_that_breaks_off_has_an_unknown_outcome(path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(path)]
    ran = subprocess.run(command, capture_output=True, check=False, timeout=30)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"broke off" in ran.stdout


@pytest.mark.rule("BE-2")
async def test_a_lock_of_another_process_delays_writes_only(path: Path) -> None:
    journal = SqliteJournal(path, timeout=1.0)
    assert await journal.append("log", 0, b"a", ttl=60)
    with subprocess.Popen(  # noqa: ASYNC220 - starting it takes no time
        [sys.executable, "-c", LOCK, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as locker:
        assert locker.stdout is not None
        assert await asyncio.to_thread(locker.stdout.readline) == b"locked\n"
        assert await journal.read("log", 0, max_bytes=9) == [b"a"]
        writes = (journal.append("log", 1, b"b", ttl=60), journal.delete("log"))
        for error in await asyncio.gather(*writes, return_exceptions=True):
            assert type(error) is BackendUnavailableError
            assert "locked" in str(error)
        locker.communicate()
    assert await journal.read("log", 0, max_bytes=9) == [b"a"]
    assert await journal.append("log", 1, b"b", ttl=60)
    await journal.aclose()


async def test_a_file_that_is_removed_is_made_again_for_all(path: Path) -> None:
    first, second = SqliteJournal(path), SqliteJournal(path)
    assert await first.append("log", 0, b"old", ttl=60)
    assert await second.read("log", 0, max_bytes=9) == [b"old"]
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    assert await first.append("log", 0, b"new", ttl=60)
    assert await second.read("log", 0, max_bytes=9) == [b"new"]
    await second.aclose()
    assert await first.append("log", 1, b"newer", ttl=60)
    third = SqliteJournal(path)
    assert await third.read("log", 0, max_bytes=9) == [b"new", b"newer"]
    await third.aclose()
    await first.aclose()


@pytest.mark.parametrize("committing", [False, True])
def test_every_error_of_sqlite_has_a_meaning(committing: bool) -> None:  # noqa: FBT001 - a parameter
    codes = {
        getattr(sqlite3, name)
        for name in dir(sqlite3)
        if name.startswith("SQLITE_") and name.count("_") == 1
    }
    expected = {
        sqlite3.SQLITE_BUSY: BackendUnavailableError,
        sqlite3.SQLITE_LOCKED: BackendUnavailableError,
        sqlite3.SQLITE_PROTOCOL: BackendUnavailableError,
        sqlite3.SQLITE_FULL: JournalFullError,
        sqlite3.SQLITE_READONLY: AccessDeniedError,
        sqlite3.SQLITE_PERM: AccessDeniedError,
        sqlite3.SQLITE_IOERR: OutcomeUnknownError if committing else BackendUnavailableError,
        sqlite3.SQLITE_CANTOPEN: BackendUnavailableError,
    }
    for code in codes:
        error = sqlite3.OperationalError("said by SQLite")
        error.sqlite_errorcode = code
        found = translated(error, "/missing/answers.db", committing=committing)
        assert type(found) is expected.get(code, BackendFaultError), code
        assert "/missing" in str(found)
        assert found.__cause__ is error
