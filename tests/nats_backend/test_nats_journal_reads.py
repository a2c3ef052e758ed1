"""How a journal on NATS is read: from any place, in batches, and past stale replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resumable_stream_nats._journal_batch import Following, Record
from resumable_stream_nats._journal_stream import JournalStream
from support.nats_journals import LOG, create_journal, fill, requests
from support.nats_servers import reached

if TYPE_CHECKING:
    from resumable_stream.journal import Journal
    from resumable_stream_nats import NatsJournal
    from support.nats_servers import NatsServer


async def read_all(journal: Journal, log: str, max_bytes: int) -> list[bytes]:
    found: list[bytes] = []
    while records := await journal.read(log, len(found), max_bytes=max_bytes):
        found += records
    return found


@pytest.mark.parametrize("most", [20, 46])
async def test_reading_on_needs_no_search(
    journal: NatsJournal, other_journal: NatsJournal, nats_server: NatsServer, most: int
) -> None:
    create_journal(nats_server, allow_direct=most < 40)
    for index in range(40):
        await fill(journal, LOG, 1, start=index)
        await fill(journal, LOG + "between", 1, start=index)
    await other_journal.read(LOG, 0, max_bytes=1)
    before = await requests(nats_server)
    assert await read_all(other_journal, LOG, 10) == [b"%d" % index for index in range(40)]
    assert await requests(nats_server) - before <= most


async def test_long_log_is_read_in_batches(
    journal: NatsJournal, other_journal: NatsJournal, nats_server: NatsServer
) -> None:
    records = [b"%d " % index * (index % 500) for index in range(2500)]
    for index, record in enumerate(records):
        assert await journal.append(LOG, index, record, ttl=60)
    await other_journal.read(LOG, 0, max_bytes=1)
    before = await requests(nats_server)
    assert await other_journal.read(LOG, 0, max_bytes=10**9) == records
    assert await requests(nats_server) - before < 20
    assert await read_all(other_journal, LOG, 10_000) == records


async def test_stale_replica_shortens_what_is_read(
    journal: NatsJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(journal, LOG, 4)
    known: list[Record] = []

    async def stale(*_: object) -> Following:
        return Following(known, ended=True)

    monkeypatch.setattr(JournalStream, "after", stale)
    # What it has of a former log of this name does not follow, nor what comes after a gap.
    for numbers in ([], [0, 1], [2], [3]):
        known[:] = [Record(number, 10 + number, b"former") for number in numbers]
        assert await journal.read(LOG, 0, max_bytes=100) == [b"0"]
    known[:] = [Record(1, 2, b"1"), Record(3, 4, b"3")]
    assert await journal.read(LOG, 0, max_bytes=100) == [b"0", b"1"]
    monkeypatch.undo()
    assert await journal.read(LOG, 2, max_bytes=100) == [b"2", b"3"]


async def test_deleted_log_is_gone_whatever_a_replica_has(
    journal: NatsJournal, other_journal: NatsJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(journal, LOG, 4)

    async def stale(*_: object) -> Following:
        former = [Record(number, 1 + number, b"former") for number in range(4)]
        return Following(former, ended=True)

    monkeypatch.setattr(JournalStream, "after", stale)
    await other_journal.delete(LOG)
    for index in range(4):
        assert await journal.read(LOG, index, max_bytes=100) == []
    await fill(other_journal, LOG, 1)
    assert await journal.read(LOG, 0, max_bytes=100) == [b"0"]


async def test_record_that_does_not_fit_stays_for_the_next_read(journal: NatsJournal) -> None:
    for index, size in enumerate((1, 10, 2)):
        assert await journal.append(LOG, index, bytes(size), ttl=60)
    assert await journal.read(LOG, 0, max_bytes=5) == [bytes(1)]
    assert await journal.read(LOG, 1, max_bytes=5) == [bytes(10)]
    assert await journal.read(LOG, 0, max_bytes=12) == [bytes(1), bytes(10)]
    assert await journal.read(LOG, 2, max_bytes=0) == [bytes(2)]


@pytest.mark.parametrize("start", [1, 2, 37, 150, 298, 299])
async def test_reading_finds_its_start_between_others(
    journal: NatsJournal, other_journal: NatsJournal, nats_server: NatsServer, start: int
) -> None:
    # The log grows unevenly among others, so no number follows from another.
    for index in range(300):
        await fill(journal, LOG, 1, start=index)
        if index % 100 < 10:
            await fill(journal, f"noise {index}", 20)
    before = await requests(nats_server)
    assert await other_journal.read(LOG, start, max_bytes=1) == [b"%d" % start]
    assert await requests(nats_server) - before < 25
    assert await other_journal.read(LOG, 300, max_bytes=3) == []


async def test_expired_front_is_gone_and_the_rest_is_there(
    journal: NatsJournal, other_journal: NatsJournal
) -> None:
    await fill(journal, LOG, 3, ttl=1)
    await fill(journal, LOG, 3, start=3, ttl=60)

    async def front_is_gone() -> bool:
        return await other_journal.read(LOG, 2, max_bytes=10) is None

    await reached(front_is_gone, "the front to expire", 10)
    for one in (journal, other_journal):
        assert await one.read(LOG, 0, max_bytes=10) is None
        assert await one.read(LOG, 3, max_bytes=10) == [b"3", b"4", b"5"]
        assert await one.read(LOG, 6, max_bytes=10) == []
    assert not await other_journal.append(LOG, 0, b"again", ttl=60)
    assert await other_journal.append(LOG, 6, b"6", ttl=60)


async def test_hole_ends_a_read_and_is_gone(
    journal: NatsJournal, other_journal: NatsJournal
) -> None:
    await fill(journal, LOG, 2)
    await fill(journal, LOG, 1, start=2, ttl=1)
    await fill(journal, LOG, 2, start=3)

    async def hole_is_there() -> bool:
        return await other_journal.read(LOG, 2, max_bytes=10) is None

    await reached(hole_is_there, "the record to expire", 10)
    assert await other_journal.read(LOG, 0, max_bytes=10) == [b"0", b"1"]
    assert await other_journal.read(LOG, 2, max_bytes=10) is None
    assert await other_journal.read(LOG, 3, max_bytes=10) == [b"3", b"4"]


async def test_expired_log_begins_again(journal: NatsJournal, other_journal: NatsJournal) -> None:
    await fill(journal, LOG, 3, ttl=1)

    async def all_is_gone() -> bool:
        return await other_journal.read(LOG, 2, max_bytes=10) == []

    await reached(all_is_gone, "the log to expire", 10)
    assert await journal.read(LOG, 0, max_bytes=10) == []
    assert not await journal.append(LOG, 3, b"3", ttl=60)
    assert await journal.append(LOG, 0, b"again", ttl=60)
    assert await other_journal.read(LOG, 0, max_bytes=10) == [b"again"]
