"""Several processes with one file, and a process that is killed."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from resumable_stream_sqlite import SqliteJournal
from resumable_stream_sqlite._tables import APPLICATION_ID, TABLES

PROGRAM = Path(__file__).with_name("writer.py")


def start(path: Path, log: str, count: int, mark: str, size: int = 1) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, PROGRAM, path, log, str(count), mark, str(size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def written(process: subprocess.Popen[str]) -> list[int]:
    said, _ = process.communicate(timeout=50)
    assert process.returncode == 0
    return [int(line) for line in said.split()]


def kill_after(path: Path, count: int, pause: float) -> int:
    """Kill a writer after so many records and the pause; return how many it was told of."""
    with start(path, "log", 10_000, "x", 50_000) as process:
        assert process.stdout is not None
        go(process)
        for _ in range(count):
            assert process.stdout.readline()
        time.sleep(pause)
        process.kill()
        return count + len(process.stdout.read().splitlines())


async def whole(journal: SqliteJournal, log: str) -> list[bytes]:
    records: list[bytes] = []
    while more := await journal.read(log, len(records), max_bytes=1_000_000):
        records += more
    return records


@pytest.mark.rule("JN-1", "JN-3", "JN-4")
@pytest.mark.parametrize("seed", range(12))
def test_what_was_acknowledged_before_a_kill_is_there(path: Path, seed: int) -> None:
    chance = random.Random(seed)
    told = kill_after(path, 1 + chance.randrange(20), chance.random() * 0.01)

    async def main() -> None:
        journal = SqliteJournal(path)
        records = await whole(journal, "log")
        assert len(records) - told in {0, 1}
        assert set(records) == {b"x" * 50_000}
        assert not await journal.append("log", told - 1, b"again", ttl=60)
        assert await journal.append("log", len(records), b"next", ttl=60)
        assert await journal.read("log", len(records), max_bytes=10) == [b"next"]
        await journal.aclose()

    asyncio.run(main())


@pytest.mark.rule("JN-1")
def test_of_two_processes_exactly_one_writes_each_index(path: Path) -> None:
    racers = {mark: start(path, "log", 1000, mark) for mark in "ab"}
    for process in racers.values():
        go(process)
    won = {mark: written(process) for mark, process in racers.items()}
    assert sorted(won["a"] + won["b"]) == list(range(1000))

    async def main() -> None:
        journal = SqliteJournal(path)
        records = await whole(journal, "log")
        await journal.aclose()
        assert len(records) == 1000
        for mark, indices in won.items():
            assert {records[index] for index in indices} <= {mark.encode()}

    asyncio.run(main())


@pytest.mark.rule("JN-1")
async def test_of_two_journals_exactly_one_writes_each_index(path: Path) -> None:
    first, second = SqliteJournal(path), SqliteJournal(path)
    winners: Counter[bytes] = Counter()
    for index in range(1000):
        racers = [(b"a", first), (b"b", second)]
        random.shuffle(racers)
        wrote = await asyncio.gather(
            *(journal.append("log", index, mark, ttl=60) for mark, journal in racers)
        )
        assert sorted(wrote) == [False, True]
        winner = racers[wrote.index(True)][0]
        assert await second.read("log", index, max_bytes=1) == [winner]
        winners[winner] += 1
    assert len(winners) == 2
    await first.aclose()
    await second.aclose()


@pytest.mark.rule("BE-1")
async def test_opening_waits_for_a_process_that_is_still_creating_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        for statement in (
            *TABLES,
            f"PRAGMA application_id = {APPLICATION_ID}",
            "PRAGMA user_version = 1",
        ):
            other.execute(statement)
        other.execute("BEGIN IMMEDIATE")
        # SQLite itself does not wait when the mode is to be changed: the package pauses.
        monkeypatch.setattr(time, "sleep", lambda _: other.execute("ROLLBACK"))
        journal = SqliteJournal(path)
        assert await journal.append("log", 0, b"", ttl=60)
        assert not other.in_transaction
        await journal.aclose()


@pytest.mark.rule("BE-1")
async def test_journals_may_create_a_file_at_once(tmp_path: Path) -> None:
    for number in range(40):
        journals = [SqliteJournal(tmp_path / f"{number}.db") for _ in range(8)]
        appends = [journal.append("log", 0, b"", ttl=60) for journal in journals]
        assert Counter(await asyncio.gather(*appends)) == {True: 1, False: 7}
        await asyncio.gather(*(journal.aclose() for journal in journals))


@pytest.mark.rule("BE-1")
@pytest.mark.parametrize("_round", range(5))
def test_processes_may_create_the_file_at_once(path: Path, _round: int) -> None:
    processes = [start(path, f"log {number}", 3, "x") for number in range(6)]
    for process in processes:
        go(process)
    assert [written(process) for process in processes] == [[0, 1, 2]] * 6
