"""What waits for the thread: cancelled, overdue, together in one transaction, and bounded."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import BackendFaultError, BackendUnavailableError, OutcomeUnknownError
from resumable_stream_sqlite import SqliteJournal, _queue
from resumable_stream_sqlite._file import File
from sqlite_journal.gate import Gate, shut_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from resumable_stream_sqlite._file import Job


@pytest.mark.rule("BE-5")
async def test_a_cancelled_append_that_waits_is_never_done(path: Path, gate: Gate) -> None:
    journal = SqliteJournal(path, clock=gate)
    under_way = await shut_in(journal, gate)
    waiting = asyncio.create_task(journal.append("other", 0, b"cancelled", ttl=60))
    await asyncio.sleep(0)
    waiting.cancel()
    under_way.cancel()
    results = await asyncio.gather(waiting, under_way, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    gate.open()
    assert await journal.read("other", 0, max_bytes=9) == []
    assert await journal.append("other", 0, b"another", ttl=60)
    # What was being done when it was cancelled went on.
    assert await journal.read("log", 0, max_bytes=9) == [b"0", b"1"]
    await journal.aclose()


@pytest.mark.rule("BE-2", "BE-6")
async def test_a_call_that_takes_too_long_says_whether_it_may_have_been_done(
    path: Path, gate: Gate
) -> None:
    journal = SqliteJournal(path, timeout=0.5, clock=gate)
    under_way = await shut_in(journal, gate)
    waiting = [journal.append("other", 0, b"", ttl=60), journal.delete("log")]
    results = await asyncio.gather(
        under_way, *waiting, journal.read("log", 0, max_bytes=1), return_exceptions=True
    )
    assert [type(result) for result in results] == [
        OutcomeUnknownError,
        BackendUnavailableError,
        BackendUnavailableError,
        BackendUnavailableError,
    ]
    gate.open()
    assert await journal.read("log", 0, max_bytes=9) == [b"0", b"1"]
    assert await journal.read("other", 0, max_bytes=9) == []
    await journal.aclose()


async def test_what_waits_at_one_moment_shares_a_transaction(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    transact = File.transact

    def counting(file: File, jobs: Sequence[Job], *, writes: bool) -> Any:
        batches.append(len(jobs))
        return transact(file, jobs, writes=writes)

    monkeypatch.setattr(File, "transact", counting)
    journal = SqliteJournal(path)
    appends = [journal.append(f"log {number}", 0, b"x" * 1000, ttl=60) for number in range(100)]
    assert all(await asyncio.gather(*appends))
    assert batches == [100]
    large = [journal.append("large", index, b"x" * 1_000_000, ttl=60) for index in range(20)]
    assert all(await asyncio.gather(*large))
    # Eight MiB are enough for one transaction, and others have their turn.
    assert sum(batches[1:]) == 20
    assert max(batches[1:]) == 9
    await journal.aclose()


async def test_no_more_waits_than_memory_allows(
    path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_queue, "_MAX_WAITING", 50_000)
    journal = SqliteJournal(path, clock=gate)
    under_way = await shut_in(journal, gate)
    waiting = [
        asyncio.create_task(journal.append(f"log {number}", 0, b"x" * 10_000, ttl=60))
        for number in range(6)
    ]
    for refused in waiting[4:]:
        with pytest.raises(BackendUnavailableError, match="wait to be written"):
            await refused
    gate.open()
    assert all(await asyncio.gather(under_way, *waiting[:4]))
    assert await journal.append("log 5", 0, b"x" * 10_000, ttl=60)
    await journal.aclose()


async def test_a_mistake_in_a_call_is_a_fault_and_harms_no_later_one(
    journal: SqliteJournal,
) -> None:
    assert await journal.append("log", 0, b"", ttl=60)
    with pytest.raises(BackendFaultError) as fault:
        await journal.append("log", 1, b"", ttl=10**400)
    assert isinstance(fault.value.__cause__, OverflowError)
    assert await journal.append("log", 1, b"", ttl=60)


async def test_a_mistake_in_tidying_is_reported_and_stops_nothing(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: File) -> float:
        raise ZeroDivisionError

    monkeypatch.setattr(File, "tidy", fail)
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    assert await journal.append("log", 0, b"", ttl=60)
    assert await journal.append("log", 1, b"", ttl=60)
    assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]


@pytest.mark.rule("BE-6")
async def test_a_thread_that_cannot_be_started_is_told_of(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> Future[None]:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(ThreadPoolExecutor, "submit", refuse)
        with pytest.raises(OutcomeUnknownError):
            await journal.append("log", 0, b"", ttl=60)
        with pytest.raises(BackendUnavailableError):
            await journal.read("log", 0, max_bytes=1)
    assert await journal.append("log", 0, b"", ttl=60)
