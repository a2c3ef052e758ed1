"""The laws of a journal: atomic appends, and records that never change."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from resumable_stream.errors import OutcomeUnknownError
from resumable_stream.journal import Journal
from resumable_stream_conformance._faults import Fault, FaultPlan
from resumable_stream_conformance._faulty_journal import FaultyJournal
from resumable_stream_conformance._journal_stage import (
    LONG,
    PAGE,
    JournalStage,
    fill,
    read_all,
)
from resumable_stream_conformance._suite import rule

if TYPE_CHECKING:
    from collections.abc import Sequence

# A seal races an append at each index of each of these logs: a thousand times.
SEALED_LOGS = 20
SEALED_RECORDS = 50


class JournalLaws(JournalStage):
    """What a journal promises of writing, and of what was written."""

    @rule("BE-0", needs="journal")
    async def test_journal_has_every_method(self) -> None:
        """A journal has ``append``, ``read``, ``delete`` and ``max_record_size``."""
        assert isinstance(await self.journal(), Journal)

    @rule("JN-1", needs="journal")
    async def test_append_has_one_winner(self) -> None:
        """Of concurrent appends of one index exactly one returns True, and its record stays."""
        journals = await self.journals(4)
        for turn in range(10):
            log = self.name(turn)
            won: list[bytes] = []
            for index in range(5):
                rivals = [(b"%d-%d" % (index, n), one) for n, one in enumerate(journals * 4)]
                random.Random(turn).shuffle(rivals)
                written = await asyncio.gather(
                    *(one.append(log, index, record, ttl=LONG) for record, one in rivals)
                )
                winners = [rival[0] for rival, wrote in zip(rivals, written, strict=True) if wrote]
                assert len(winners) == 1, f"{len(winners)} of 16 concurrent appends wrote"
                won += winners
                for one in journals:
                    assert list(await one.read(log, index, max_bytes=PAGE) or ()) == winners
            for one in journals:
                assert await read_all(one, log) == won

    @rule("JN-1", "JN-3", needs="journal", within=60)
    async def test_seal_races_append(self) -> None:
        """Of an append and a seal at one index exactly one is written, a thousand times."""
        producer, successor, witness = await self.journals(3)

        async def race(log: str) -> None:
            expected: list[bytes] = []
            for index in range(SEALED_RECORDS):
                text, seal = b"text %d " % index * (index % 20 + 1), b"seal %d" % index
                # Either call is made first in half of the rounds.
                rivals = [(producer, text), (successor, seal)][:: 1 if index % 2 else -1]
                written = await asyncio.gather(
                    *(one.append(log, index, record, ttl=LONG) for one, record in rivals)
                )
                winners = [rival[1] for rival, wrote in zip(rivals, written, strict=True) if wrote]
                assert len(winners) == 1, f"{len(winners)} of 2 concurrent appends wrote"
                expected += winners
                assert list(await witness.read(log, index, max_bytes=1) or ()) == winners
            for one in (producer, successor, witness):
                assert await read_all(one, log) == expected

        await asyncio.gather(*(race(self.name(number)) for number in range(SEALED_LOGS)))

    @rule("JN-2", needs="journal")
    async def test_gap_is_refused_or_read_as_gone(self) -> None:
        """An append that leaves a gap writes nothing, or the missing records read as gone."""
        here, there = await self.journals(2)
        begun, unbegun = self.name("begun"), self.name("unbegun")
        await fill(here, begun, [b"zero"])
        for log, index in ((begun, 2), (unbegun, 1)):
            written = await here.append(log, index, b"far", ttl=LONG)
            for one in (here, there):
                missing = await one.read(log, index - 1, max_bytes=PAGE)
                found = await one.read(log, index, max_bytes=PAGE)
                if written:
                    assert missing is None, f"reads {missing!r} where a record is missing"
                    assert list(found or ()) == [b"far"]
                else:
                    assert (missing, list(found or ())) == ([], [])
        for one in (here, there):
            assert list(await one.read(begun, 0, max_bytes=PAGE) or ()) == [b"zero"]

    @rule("JN-2", needs="journal")
    async def test_refused_gap_is_no_obstacle(self) -> None:
        """After a gap was refused the log goes on at its next index."""
        here, there = await self.journals(2)
        log = self.name("log")
        if await here.append(log, 1, b"far", ttl=LONG):
            pytest.skip("the journal accepts an append that leaves a gap")
        await fill(there, log, [b"zero", b"one"])
        assert await here.append(log, 3, b"far", ttl=LONG) is False
        assert await here.append(log, 2, b"two", ttl=LONG) is True
        assert await read_all(there, log) == [b"zero", b"one", b"two"]

    @rule("JN-3", needs="journal")
    async def test_record_never_changes(self) -> None:
        """An append of an index that is taken returns False, whatever it would write."""
        here, there = await self.journals(2)
        log = self.name("log")
        records = [b"zero", b"", b"two" * 1000, b"\0"]
        await fill(here, log, records)
        for one in (there, here):
            for index, record in enumerate(records):
                for other in (b"other", b"", record, record + b"!", record[:1]):
                    assert await one.append(log, index, other, ttl=LONG) is False
                    assert await read_all(here, log) == records
        # What was refused has not been written elsewhere.
        assert await there.append(log, len(records), b"last", ttl=LONG) is True
        assert await read_all(here, log) == [*records, b"last"]

    @rule("JN-3", "JN-4", "BE-6", needs="journal")
    async def test_unknown_append_is_told_by_reading(self) -> None:
        """After an append whose outcome is unknown a read tells whether it was executed."""
        here, there = await self.journals(2)
        plan = FaultPlan(at={1: Fault.UNKNOWN_EXECUTED, 2: Fault.UNKNOWN_LOST})
        faulty, log = FaultyJournal(here, plan), self.name("log")
        for index, executed in enumerate((True, False)):
            with pytest.raises(OutcomeUnknownError):
                await faulty.append(log, index, b"first", ttl=LONG)
            found = list(await there.read(log, index, max_bytes=PAGE) or ())
            assert found == [b"first"] * executed
            assert await here.append(log, index, b"second", ttl=LONG) is not executed
        assert await read_all(there, log) == [b"first", b"second"]

    @rule("JN-4", needs="journal")
    async def test_append_is_read_everywhere(self) -> None:
        """A read that starts after an append has returned True sees it, on any adapter."""
        pair = await self.journals(2)
        log = self.name("seen")
        for index in range(100):
            writer, reader = pair if index % 2 else reversed(pair)
            assert await writer.append(log, index, b"%d" % index, ttl=LONG) is True
            assert list(await reader.read(log, index, max_bytes=PAGE) or ()) == [b"%d" % index]

    @rule("JN-4", "JN-5", needs="journal")
    async def test_reads_while_written_are_prefixes(self) -> None:
        """A read gives a prefix of what is there afterwards, and never less than another before."""
        writer, *readers = await self.journals(3)
        log = self.name("growing")
        records = [b"%d " % number * (number % 7) for number in range(200)]

        async def watch(reader: Journal) -> None:
            seen = 0
            while seen < len(records):
                found = await reader.read(log, 0, max_bytes=10**6)
                assert found is not None, "a log that is being written reads as gone"
                assert list(found) == records[: len(found)]
                assert len(found) >= min(seen, 1), "a log that has begun reads as empty"
                ahead = await reader.read(log, seen, max_bytes=10**6)
                assert ahead is not None, "a log that is being written reads as gone"
                assert list(ahead) == records[seen : seen + len(ahead)]
                seen += len(ahead)

        watching = asyncio.gather(*map(watch, readers))
        try:
            await fill(writer, log, records)
            await watching
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    @rule("JN-6", "JN-8", needs="journal")
    async def test_any_bytes_are_a_record(self) -> None:
        """A record is any bytes, even none, and reads back as it was written."""
        here, there = await self.journals(2)
        log = self.name("bytes")
        records: Sequence[bytes] = [
            *(b"", b"\0", b"\n", b"\r\n", b"a\r\nb", b"+OK\r\nPING\r\n", b"$-1\r\n", b"None"),
            *(bytes([value]) for value in range(256)),
            *(bytes(range(256)), b"\xff\xfe\x80", b"\xc3\x28", "\U0001f600".encode(), b"\xed\xa0"),
            *(b"0", b" ", b" padded ", b"\xef\xbb\xbf", bytes(1000), b""),
        ]
        await fill(here, log, list(records))
        found = await read_all(there, log)
        assert found == records
        assert {type(record) for record in found} == {bytes}
