"""The laws of a journal's logs: they stay apart, and are deleted alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resumable_stream_conformance._journal_stage import (
    LONG,
    PAGE,
    JournalStage,
    fill,
    read_all,
)
from resumable_stream_conformance._names import ODD_NAMES
from resumable_stream_conformance._suite import rule

if TYPE_CHECKING:
    from resumable_stream.journal import Journal

MANY = 300
AT_ONCE = 30
MAX_NAME_LENGTH = 1024


class JournalNameLaws(JournalStage):
    """What a journal promises of its logs' names, and of deleting them."""

    @rule("JN-8", needs="journal", within=60)
    async def test_odd_logs_stay_apart(self) -> None:
        """Any text of up to 1,024 characters names a log, which reaches no other log."""
        here, there = await self.journals(2)
        longest = self.name("n" * MAX_NAME_LENGTH)[:MAX_NAME_LENGTH]
        names = [*map(self.name, ODD_NAMES), longest, longest[:-1], longest[:-1] + "m"]
        expected = {log: [b"%d 0" % n, b"%d 1" % n] for n, log in enumerate(names)}
        for log, records in expected.items():
            for index, record in enumerate(records):
                assert await here.append(log, index, record, ttl=LONG) is True, f"{log!r} was taken"
        found = await asyncio.gather(*(read_all(there, log) for log in expected))
        assert found == list(expected.values())

    @rule("JN-8", "JN-9", needs="journal", within=60)
    async def test_odd_log_deletes_itself_only(self) -> None:
        """Deleting a log whose name is a wildcard in some store deletes that log alone."""
        journal = await self.journal()
        wild = [self.name(odd) for odd in ODD_NAMES if set(odd) & set("*>?[.%_")]
        tame = [self.name(f"tame.{number}") for number in range(3)]
        for log in (*wild, *tame):
            await fill(journal, log, [b"kept"])
        while wild:
            await journal.delete(gone := wild.pop())
            assert await read_all(journal, gone) == []
            for log in (tame[0], *wild[-3:]):
                assert await read_all(journal, log) == [b"kept"], f"{log!r} went with {gone!r}"
        assert [await read_all(journal, log) for log in tame] == [[b"kept"]] * 3

    @rule("JN-8", needs="journal", within=60)
    async def test_many_logs_at_once_stay_apart(self) -> None:
        """Some hundred logs that are written at once each get their own records."""
        pair = await self.journals(2)
        bounded = asyncio.Semaphore(AT_ONCE)

        async def write(number: int) -> None:
            async with bounded:
                await fill(pair[number % 2], self.name(number), _records(number))

        await asyncio.gather(*map(write, range(MANY)))
        for number in range(MANY):
            assert await read_all(pair[1 - number % 2], self.name(number)) == _records(number)

    @rule("JN-4", needs="journal")
    async def test_overlapping_calls_keep_apart(self) -> None:
        """Calls that overlap on one adapter each get the answer to their own question."""
        journal = await self.journal()
        logs = [self.name(number) for number in range(60)]
        for index in range(3):
            written = await asyncio.gather(
                *(journal.append(log, index, f"{log} {index}".encode(), ttl=LONG) for log in logs)
            )
            assert written == [True] * len(logs)
        again, found, absent = await asyncio.gather(
            asyncio.gather(*(journal.append(log, 1, b"late", ttl=LONG) for log in logs)),
            asyncio.gather(*(journal.read(log, 1, max_bytes=1) for log in logs)),
            asyncio.gather(*(journal.read(log, 9, max_bytes=1) for log in logs)),
        )
        assert again == [False] * len(logs)
        assert [list(records or ()) for records in found] == [[f"{log} 1".encode()] for log in logs]
        assert [list(records or ()) for records in absent] == [[]] * len(logs)

    @rule("JN-9", needs="journal")
    async def test_deleted_log_begins_anew(self) -> None:
        """A deleted log reads as never written everywhere, and begins at once with index 0."""
        here, there = await self.journals(2)
        log = self.name("deleted")
        for turn in range(20):
            length = turn % 4 + 1
            await fill(here, log, _records(turn)[:length])
            await there.delete(log)
            for one in (here, there):
                for index in (0, length - 1, length):
                    found = await one.read(log, index, max_bytes=PAGE)
                    assert found is not None, "a deleted log reads as gone, not as never written"
                    assert list(found) == []
            here, there = there, here
        await fill(here, log, [b"last"])
        assert await read_all(there, log) == [b"last"]

    @rule("JN-9", needs="journal")
    async def test_delete_of_missing_log_is_quiet(self) -> None:
        """``delete`` of an absent log raises nothing, even twice, and is no obstacle."""
        journal = await self.journal()
        log = self.name("never")
        await journal.delete(log)
        await journal.delete(log)
        await fill(journal, log, [b"zero"])
        assert await read_all(journal, log) == [b"zero"]

    @rule("JN-1", "JN-9", needs="journal")
    async def test_delete_leaves_no_half_log(self) -> None:
        """While a log is written and deleted at once no read leaves out its front."""
        writer, eraser, reader = await self.journals(3)

        async def write(log: str) -> None:
            for index, record in enumerate(_records(1) * 5):
                # Refused once the log has been deleted.
                await writer.append(log, index, record, ttl=LONG)

        async def watch(log: str, journal: Journal) -> None:
            for _ in range(10):
                found = list(await journal.read(log, 0, max_bytes=PAGE) or ())
                assert found == (_records(1) * 5)[: len(found)]

        for turn in range(10):
            log = self.name(turn)
            await asyncio.gather(write(log), watch(log, reader), eraser.delete(log))


def _records(number: int) -> list[bytes]:
    return [b"%d %d" % (number, index) for index in range(4)]
