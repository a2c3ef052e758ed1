"""The laws of reading a journal: consecutive records, no hole, and the sizes that it keeps."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from resumable_stream.errors import RecordTooLargeError
from resumable_stream_conformance._journal_stage import (
    LONG,
    PAGE,
    JournalStage,
    fill,
    read_all,
    read_pages,
)
from resumable_stream_conformance._suite import rule

if TYPE_CHECKING:
    from resumable_stream.journal import Journal

LEAST_RECORD_SIZE = 65_536


class JournalReadLaws(JournalStage):
    """What a journal promises of a read, and of sizes."""

    @rule("JN-5", needs="journal")
    async def test_reads_nothing_at_the_end(self) -> None:
        """A read of an unknown log, at the end or beyond it, gives an empty list."""
        here, there = await self.journals(2)
        begun, unknown = self.name("begun"), self.name("unknown")
        await fill(here, begun, [b"zero", b"one"])
        for log, index in ((unknown, 0), (unknown, 7), (begun, 2), (begun, 3), (begun, 10**6)):
            for one in (here, there):
                found = await one.read(log, index, max_bytes=PAGE)
                assert found is not None, f"index {index} reads as gone, and was never there"
                assert list(found) == []

    @rule("JN-5", needs="journal", within=60)
    async def test_pages_leave_nothing_out(self) -> None:
        """Pages of any size, put together, are the log; each keeps to its ``max_bytes``."""
        here, there = await self.journals(2)
        log = self.name("log")
        sizes = random.Random(7).choices((0, 1, 2, 10, 100, 1000, 5000, 20_000), k=300)
        records = [_pattern(size, number) for number, size in enumerate(sizes)]
        await fill(here, log, records)
        for max_bytes in (1, 9, 1000, 4096, 65_536, 10**7):
            pages = await read_pages(there, log, max_bytes)
            for page in pages:
                size = sum(map(len, page))
                assert size <= max_bytes or len(page) == 1, (
                    f"{len(page)} records of {size} bytes for max_bytes={max_bytes}"
                )
            _assert_same([record for page in pages for record in page], records)

    @rule("JN-5", needs="journal")
    async def test_any_index_begins_a_page(self) -> None:
        """A read begins with the record at its index, wherever that is."""
        here, there = await self.journals(2)
        log = self.name("log")
        records = [b"%d " % number * (number % 5 + 1) for number in range(60)]
        await fill(here, log, records)
        for index in (59, 0, 31, 1, 58, 10, 9, 11):
            found = list(await there.read(log, index, max_bytes=100) or ())
            assert found
            assert found == records[index : index + len(found)]

    @rule("JN-5", needs="journal")
    async def test_large_first_record_comes_alone(self) -> None:
        """A first record larger than ``max_bytes`` comes, and comes alone."""
        here, there = await self.journals(2)
        log = self.name("log")
        records = [_pattern(30_000, 1), b"small", _pattern(200, 2), b""]
        await fill(here, log, records)
        for index, max_bytes in ((0, 1), (0, 29_999), (2, 199), (2, 1)):
            found = list(await there.read(log, index, max_bytes=max_bytes) or ())
            _assert_same(found, [records[index]])

    @rule("JN-6", needs="journal")
    async def test_sizes_are_kept_exactly(self) -> None:
        """Records of any size up to 65,536 bytes are read back whole, in one log."""
        here, there = await self.journals(2)
        log = self.name("sizes")
        sizes = (0, 1, 255, 256, 4095, 4096, 4097, 32_767, 32_768, LEAST_RECORD_SIZE - 1)
        records = [_pattern(size, size) for size in (*sizes, LEAST_RECORD_SIZE, 0)]
        await fill(here, log, records)
        for max_bytes in (1, 10**6):
            _assert_same(await read_all(there, log, max_bytes=max_bytes), records)

    @rule("JN-6", needs="journal", within=60)
    async def test_largest_record_is_kept(self) -> None:
        """A record of exactly ``max_record_size`` bytes, at least 65,536, is read back whole."""
        here, there = await self.journals(2)
        size = here.max_record_size
        assert size >= LEAST_RECORD_SIZE
        log, records = self.name("large"), [_pattern(size, 1), b"after", _pattern(size, 2)]
        await fill(here, log, records)
        for max_bytes in (1, size, 3 * size):
            _assert_same(await read_all(there, log, max_bytes=max_bytes), records)

    @rule("JN-6", needs="journal")
    async def test_oversize_record_is_refused(self) -> None:
        """A record one byte too long raises ``RecordTooLargeError``, and the log goes on."""
        here, there = await self.journals(2)
        begun, unbegun = self.name("begun"), self.name("unbegun")
        await fill(here, begun, [b"zero"])
        oversize = bytes(here.max_record_size + 1)
        for _ in range(3):
            for log, index in ((begun, 1), (unbegun, 0)):
                with pytest.raises(RecordTooLargeError):
                    await here.append(log, index, oversize, ttl=LONG)
        for one in (here, there):
            assert await read_all(one, begun) == [b"zero"]
            assert await read_all(one, unbegun) == []
        await self._go_on(here, there, begun, unbegun)

    async def _go_on(self, here: Journal, there: Journal, begun: str, unbegun: str) -> None:
        for one, log, index in ((here, begun, 1), (there, unbegun, 0)):
            assert await one.append(log, index, b"next", ttl=LONG) is True
        assert await read_all(there, begun) == [b"zero", b"next"]
        assert await read_all(here, unbegun) == [b"next"]


def _pattern(size: int, start: int) -> bytes:
    """Bytes of all values, which differ from those of another start."""
    return (bytes((start + value) % 256 for value in range(256)) * (size // 256 + 1))[:size]


def _assert_same(found: list[bytes], expected: list[bytes]) -> None:
    # Compared by hand: an assertion would print both.
    __tracebackhide__ = True
    same = found == expected
    assert same, (
        f"{len(found)} records for {len(expected)}, of "
        f"{[len(record) for record in found][:20]} bytes for "
        f"{[len(record) for record in expected][:20]}"
    )
