"""The laws of the time that a journal's records live."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from resumable_stream_conformance._journal_stage import (
    LONG,
    PAGE,
    JournalStage,
    fill,
    read_all,
)
from resumable_stream_conformance._suite import rule
from resumable_stream_conformance._ttl_laws import EXPIRY_SLACK

if TYPE_CHECKING:
    from resumable_stream.journal import Journal

# Long enough that a busy machine writes all records of a log before its first one expires.
SHORT = 2


class JournalTimeLaws(JournalStage):
    """How long a journal promises that a record lives."""

    @rule("JN-7", needs="journal")
    async def test_record_lives_its_time(self) -> None:
        """A record lives at least its time to live, wherever it stands in its log."""
        here, there = await self.journals(2)
        log, records = self.name("log"), [b"zero", b"", b"two"]
        written = time.monotonic()
        await fill(here, log, records, ttl=SHORT)
        while time.monotonic() - written < SHORT + EXPIRY_SLACK:
            asked = time.monotonic() - written
            found = await there.read(log, 0, max_bytes=PAGE)
            whole = found is not None and list(found) == records
            if time.monotonic() - written < SHORT:
                assert whole, f"a log with ttl={SHORT} read {found!r} after {asked:.2f} s"
            if not whole:
                break
            await asyncio.sleep(0.05)

    @rule("JN-7", needs="journal")
    async def test_log_expires_soon_after(self) -> None:
        """Soon after the time of its last record is over a log reads as never written."""
        here, there = await self.journals(2)
        log = self.name("log")
        await fill(here, log, [b"zero", b"one", b"two"], ttl=SHORT)
        await _until_gone(there, log, 3, within=SHORT)
        for one in (here, there):
            for index in range(4):
                found = await one.read(log, index, max_bytes=PAGE)
                assert found is not None, "an expired log reads as gone, not as never written"
                assert list(found) == []

    @rule("JN-7", needs="journal")
    async def test_expired_log_begins_anew(self) -> None:
        """An expired log begins anew with index 0, and lives the time of its new records."""
        here, there = await self.journals(2)
        log, control = self.name("again"), self.name("control")
        await fill(here, log, [b"first", b"second"], ttl=SHORT)
        await _until_gone(here, log, 2, within=SHORT)
        await fill(there, log, [b"third", b"fourth"])
        await fill(here, control, [b"control"], ttl=1)
        await _until_gone(here, control, 1, within=1)
        for one in (here, there):
            assert await read_all(one, log) == [b"third", b"fourth"]

    @rule("JN-5", "JN-7", needs="journal")
    async def test_each_append_has_its_own_time(self) -> None:
        """The last record lives its own, longer time; the front stays with it or reads as gone."""
        here, there = await self.journals(2)
        log, records = self.name("log"), [b"zero", b"one"]
        await fill(here, log, records[:1], ttl=SHORT)
        written = time.monotonic()
        assert await here.append(log, 1, records[1], ttl=2 * SHORT) is True
        while (lived := time.monotonic() - written) < 2 * SHORT + EXPIRY_SLACK:
            front = await there.read(log, 0, max_bytes=PAGE)
            last = await there.read(log, 1, max_bytes=PAGE)
            if time.monotonic() - written < 2 * SHORT:
                assert list(last or ()) == records[1:], (
                    f"a record with ttl={2 * SHORT} read {last!r} after {lived:.2f} s"
                )
            if last:
                assert front is None or list(front) in (records, records[:1]), (
                    f"the front reads {front!r}, while the last record is there"
                )
            elif front is not None and not front:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"a log whose last ttl was {2 * SHORT} is there after {lived:.1f} s")

    @rule("JN-7", needs="journal")
    async def test_shorter_time_of_a_later_record_shortens_no_other(self) -> None:
        """A record lives its time, although a later one has a shorter time to live."""
        here, there = await self.journals(2)
        log, control = self.name("log"), self.name("control")
        await fill(here, log, [b"zero"])
        assert await there.append(log, 1, b"one", ttl=1) is True
        await fill(here, control, [b"control"], ttl=2)
        await _until_gone(there, control, 1, within=2)
        for one in (here, there):
            assert list(await one.read(log, 0, max_bytes=1) or ()) == [b"zero"]

    @rule("JN-2", "JN-3", "JN-7", needs="journal")
    async def test_refused_append_changes_no_time(self) -> None:
        """A refused append makes a log live neither longer nor shorter."""
        here, there = await self.journals(2)
        kept, going = self.name("kept"), self.name("going")
        await fill(here, kept, [b"zero", b"one"])
        await fill(here, going, [b"zero", b"one"], ttl=SHORT)
        for index in range(2):
            assert await there.append(kept, index, b"late", ttl=1) is False
            assert await there.append(going, index, b"late", ttl=LONG) is False
        await _until_gone(here, going, 2, within=SHORT)
        assert await read_all(there, kept) == [b"zero", b"one"]

    @rule("JN-7", "JN-9", needs="journal")
    async def test_old_time_ends_with_its_log(self) -> None:
        """A log that was deleted and begun anew does not expire by the time of its old records."""
        here, there = await self.journals(2)
        log, control = self.name("log"), self.name("control")
        await fill(here, log, [b"old", b"old too"], ttl=SHORT)
        await there.delete(log)
        await fill(here, log, [b"new", b"new too"])
        await fill(here, control, [b"control"], ttl=SHORT + 1)
        await _until_gone(there, control, 1, within=SHORT + 1)
        for one in (here, there):
            assert await read_all(one, log) == [b"new", b"new too"]


async def _until_gone(journal: Journal, log: str, length: int, *, within: float) -> None:
    """Wait until a log of that many records reads as never written."""
    __tracebackhide__ = True
    started = time.monotonic()
    while any([await journal.read(log, n, max_bytes=1) != [] for n in range(length)]):
        waited = time.monotonic() - started
        assert waited < within + EXPIRY_SLACK, f"the log is still there after {waited:.1f} s"
        await asyncio.sleep(0.05)
