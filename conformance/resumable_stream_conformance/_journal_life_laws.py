"""The laws of a journal's life: it opens lazily, may be cancelled, and closes only itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resumable_stream.errors import BackendUnavailableError
from resumable_stream_conformance._journal_stage import (
    LONG,
    PAGE,
    JournalStage,
    fill,
    read_all,
)
from resumable_stream_conformance._recorder import PATIENCE
from resumable_stream_conformance._suite import rule

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class JournalLifeLaws(JournalStage):
    """What a journal promises as a whole."""

    @rule("BE-1", needs="journal")
    async def test_journal_opens_without_a_loop(self) -> None:
        """A journal can be opened where no event loop runs, and used in one afterwards."""
        journal, _ = await self.open_store(without_loop=True)
        log = self.name("log")
        await fill(journal, log, [b"zero", b"one"])
        assert await read_all(journal, log) == [b"zero", b"one"]

    @rule("BE-1", needs="journal")
    async def test_first_journal_calls_may_overlap(self) -> None:
        """The first calls on a journal may be made at the same time."""
        journal = await self.journal()
        logs = [self.name(number) for number in range(10)]
        written, *_ = await asyncio.gather(
            asyncio.gather(*(journal.append(log, 0, log.encode(), ttl=LONG) for log in logs)),
            journal.read(self.name("never"), 0, max_bytes=PAGE),
            journal.delete(self.name("never")),
        )
        assert written == [True] * 10
        found = await asyncio.gather(*(read_all(journal, log) for log in logs))
        assert found == [[log.encode()] for log in logs]

    @rule("BE-3", needs="journal")
    async def test_closing_a_journal_twice_is_idempotent(self) -> None:
        """``aclose`` may be called twice, at the same time, and on a journal never used."""
        journal, close = await self.closable()
        _, close_unused = await self.closable()
        await journal.read(self.name("log"), 0, max_bytes=PAGE)
        await asyncio.gather(close(), close())
        for each in (close, close_unused, close_unused):
            await each()

    @rule("BE-3", needs="journal")
    async def test_closed_journal_is_unavailable(self) -> None:
        """Every call on a closed journal raises ``BackendUnavailableError``."""
        journal, close = await self.closable()
        witness, log = await self.journal(), self.name("log")
        await fill(journal, log, [b"zero"])
        await close()
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: journal.append(log, 1, b"late", ttl=LONG),
            lambda: journal.read(log, 0, max_bytes=PAGE),
            lambda: journal.delete(log),
        ]
        for call in calls:
            with pytest.raises(BackendUnavailableError):
                await call()
        assert await read_all(witness, log) == [b"zero"]

    @rule("BE-3", needs="journal")
    async def test_closing_spares_other_journals(self) -> None:
        """Closing a journal leaves its records, and other journals of the store, as they are."""
        stays, log = await self.journal(), self.name("log")
        for index in range(3):
            journal, close = await self.closable()
            assert await journal.append(log, index, b"%d" % index, ttl=LONG) is True
            await close()
            assert await read_all(stays, log) == [b"%d" % earlier for earlier in range(index + 1)]

    @rule("BE-3", "P10", needs="journal")
    async def test_closed_journal_leaves_no_task(self) -> None:
        """A closed journal leaves no task running."""
        before = asyncio.all_tasks()
        for number in range(3):
            journal, close = await self.closable()
            await fill(journal, self.name(number), [b"zero", b"one"])
            await read_all(journal, self.name(number))
            await journal.delete(self.name(number))
            await close()
        if ending := asyncio.all_tasks() - before:
            await asyncio.wait(ending, timeout=PATIENCE)
        left = asyncio.all_tasks() - before
        assert not left, f"tasks left behind: {left}"

    @rule("BE-5", "JN-3", needs="journal", within=60)
    async def test_cancelled_append_is_whole_or_absent(self) -> None:
        """A cancelled append has written its whole record or nothing, and the log goes on."""
        here, there = await self.journals(2)
        record, other = b"doomed " * 1000, b"other"
        for turn in range(60):
            log = self.name(turn)
            doomed = asyncio.ensure_future(here.append(log, 0, record, ttl=LONG))
            for _ in range(turn % 7):
                await asyncio.sleep(0)
            doomed.cancel()
            await asyncio.wait([doomed])
            written = await there.append(log, 0, other, ttl=LONG)
            expected = other if written else record
            for one in (there, here):
                assert await read_all(one, log) == [expected]
            assert await here.append(log, 1, b"next", ttl=LONG) is True
            assert await read_all(there, log) == [expected, b"next"]

    @rule("BE-5", needs="journal", within=60)
    async def test_cancelled_call_of_a_journal_answers_no_other(self) -> None:
        """A call made after a cancelled one gets the answer to its own question."""
        journal = await self.journal()
        logs = [self.name(number) for number in range(10)]
        for log in logs:
            await fill(journal, log, [log.encode()])
        for turn in range(100):
            mine, other = logs[turn % 10], logs[(turn + 3) % 10]
            doomed: asyncio.Future[object] = asyncio.ensure_future(
                journal.append(mine, 0, b"late", ttl=LONG)
                if turn % 2
                else journal.read(mine, 0, max_bytes=PAGE)
            )
            for _ in range(turn % 7):
                await asyncio.sleep(0)
            doomed.cancel()
            assert await read_all(journal, other) == [other.encode()]
            assert await journal.append(other, 0, b"late", ttl=LONG) is False
            fresh = self.name(f"fresh {turn}")
            assert await journal.append(fresh, 0, b"%d" % turn, ttl=LONG) is True
            assert await read_all(journal, fresh) == [b"%d" % turn]
            await asyncio.wait([doomed])
