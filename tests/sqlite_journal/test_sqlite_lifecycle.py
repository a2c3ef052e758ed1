"""Closing, and event loops and programs that end without it."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from resumable_stream import BackendUnavailableError, OutcomeUnknownError, WrongEventLoopError
from resumable_stream_sqlite import SqliteJournal
from sqlite_journal.gate import Gate, shut_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PROGRAM = """
import asyncio, sys
from resumable_stream_sqlite import SqliteJournal

async def main():
    journal = SqliteJournal(sys.argv[1])
    if sys.argv[2] != "unused":
        assert await journal.append("log", 0, b"kept", ttl=60)
    if sys.argv[2] == "busy":
        asyncio.create_task(journal.append("log", 1, b"x" * 1_000_000, ttl=60))
        await asyncio.sleep(0.001)
    return journal

kept = asyncio.run(main())
print("over")
"""


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "sqlite" in thread.name]


def is_open(path: Path) -> bool:
    """Return whether there is a connection to the file: the last one removes the log."""
    return path.with_name(f"{path.name}-wal").exists()


def wait_until_nothing_is_left(path: Path) -> None:
    deadline = time.monotonic() + 20
    while threads() or is_open(path):
        assert time.monotonic() < deadline, (threads(), is_open(path))
        gc.collect()
        time.sleep(0.01)


@pytest.mark.rule("BE-3")
async def test_a_journal_that_was_never_used_can_be_closed(path: Path) -> None:
    journal = SqliteJournal(path)
    await asyncio.gather(journal.aclose(), journal.aclose())
    with pytest.raises(BackendUnavailableError, match="closed"):
        await journal.append("log", 0, b"", ttl=60)
    assert not await asyncio.to_thread(path.exists)


@pytest.mark.rule("BE-3")
async def test_closing_leaves_no_thread_and_no_open_file(path: Path) -> None:
    journal = SqliteJournal(path)
    assert await journal.append("log", 0, b"", ttl=60)
    assert threads()
    assert is_open(path)
    await journal.aclose()
    await journal.aclose()
    assert (threads(), is_open(path)) == ([], False)
    for call in (
        journal.append("log", 1, b"", ttl=60),
        journal.read("log", 0, max_bytes=1),
        journal.delete("log"),
    ):
        with pytest.raises(BackendUnavailableError, match="closed"):
            await call


@pytest.mark.rule("BE-3", "BE-6")
async def test_closing_finishes_what_is_being_done_and_fails_what_waits(
    path: Path, gate: Gate
) -> None:
    journal = SqliteJournal(path, clock=gate)
    under_way = await shut_in(journal, gate)
    waiting = asyncio.create_task(journal.append("other", 0, b"", ttl=60))
    await asyncio.sleep(0)
    closing = asyncio.create_task(journal.aclose())
    with pytest.raises(BackendUnavailableError, match="closed"):
        await waiting
    assert not closing.done()
    gate.open()
    assert await under_way
    await closing
    assert (threads(), is_open(path)) == ([], False)
    again = SqliteJournal(path)
    assert await again.read("log", 0, max_bytes=9) == [b"0", b"1"]
    assert await again.read("other", 0, max_bytes=9) == []
    await again.aclose()


@pytest.mark.rule("BE-2", "BE-3")
async def test_closing_does_not_wait_for_ever(path: Path, gate: Gate) -> None:
    journal = SqliteJournal(path, timeout=0.5, clock=gate)
    under_way = await shut_in(journal, gate)
    await journal.aclose()
    with pytest.raises(OutcomeUnknownError):
        await under_way
    gate.open()
    await asyncio.to_thread(wait_until_nothing_is_left, path)


async def test_closing_that_is_cancelled_closes_all_the_same(path: Path, gate: Gate) -> None:
    journal = SqliteJournal(path, clock=gate)
    under_way = await shut_in(journal, gate)
    closing = asyncio.create_task(journal.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    gate.open()
    assert await under_way
    del journal, under_way
    await asyncio.to_thread(wait_until_nothing_is_left, path)


def test_event_loops_may_use_it_one_after_another(path: Path) -> None:
    journal = SqliteJournal(path)

    async def append(index: int) -> bool:
        return await journal.append("log", index, b"", ttl=60)

    assert [asyncio.run(append(index)) for index in range(3)] == [True] * 3
    asyncio.run(journal.aclose())
    wait_until_nothing_is_left(path)


async def test_two_event_loops_may_not_use_it_at_once(journal: SqliteJournal) -> None:
    assert await journal.append("log", 0, b"", ttl=60)
    with pytest.raises(WrongEventLoopError):
        await asyncio.to_thread(lambda: asyncio.run(journal.read("log", 0, max_bytes=1)))


def test_a_journal_that_is_forgotten_leaves_nothing(path: Path) -> None:
    async def main() -> None:
        assert await SqliteJournal(path).append("log", 0, b"", ttl=60)

    asyncio.run(main())
    wait_until_nothing_is_left(path)


@pytest.mark.parametrize("state", ["unused", "idle", "busy"])
def test_a_program_may_end_without_closing(path: Path, state: str) -> None:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM, str(path), state]
    ran = subprocess.run(command, capture_output=True, check=False, timeout=30)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"over\n", b"")

    async def read() -> Sequence[bytes] | None:
        journal = SqliteJournal(path)
        records = await journal.read("log", 0, max_bytes=10)
        await journal.aclose()
        return records

    assert asyncio.run(read()) == ([] if state == "unused" else [b"kept"])
