"""The journal on NATS: how its stream is made, used, lost and made again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import nats
import pytest

from resumable_stream.errors import (
    BackendUnavailableError,
    InvalidSettingError,
    RecordTooLargeError,
)
from resumable_stream.journal import Journal, OpenedJournal
from resumable_stream_nats import NatsBackend, NatsJournal, open_journal
from support.nats_journals import JOURNAL, LOG, create_journal, fill, requests
from support.nats_servers import BUCKET, NatsServer, reached
from support.servers import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nats.aio.client import Client
    from nats.js.api import StreamInfo


@pytest.fixture
def kept() -> Iterator[NatsServer]:
    """A server that keeps its files over a restart."""
    with NatsServer(remembers=True) as server:
        yield server


async def stream_of(client: Client) -> StreamInfo:
    return await client.jetstream().stream_info(JOURNAL)


async def delete_stream(client: Client) -> None:
    await client.jetstream().delete_stream(JOURNAL)


async def test_stream_is_made_as_documented(journal: NatsJournal, nats_server: NatsServer) -> None:
    assert await journal.read(LOG, 0, max_bytes=1) == []
    config = nats_server.ask(stream_of).config
    assert (config.name, config.subjects) == (JOURNAL, [f"$KV.{JOURNAL}.>"])
    assert (config.storage, config.num_replicas) == ("memory", 1)
    assert (config.discard, config.max_msgs_per_subject, config.max_age) == ("new", -1, 0)
    assert (config.max_msgs, config.max_bytes, config.max_consumers) == (-1, -1, -1)
    assert (config.allow_msg_ttl, config.allow_direct) == (True, True)
    assert nats_server.look("jsz")["streams"] == 1


async def test_stream_has_the_buckets_name_and_is_kept_in_files(nats_server: NatsServer) -> None:
    backend = NatsBackend(nats_server.address, bucket="mine")
    assert await backend.journal.append(LOG, 0, b"x", ttl=60)
    config = nats_server.ask(lambda client: client.jetstream().stream_info("JOURNAL_mine")).config
    assert config.storage == "file"
    await backend.aclose()


async def test_every_record_has_its_time_to_live(
    journal: NatsJournal, nats_server: NatsServer
) -> None:
    await fill(journal, LOG, 1, ttl=60)
    await fill(journal, LOG, 1, start=1, ttl=61)
    found = nats_server.headers(JOURNAL)
    assert [(one["Nats-TTL"], one["RS-Index"]) for one in found] == [("60", "0"), ("61", "1")]


async def test_append_is_one_request(journal: NatsJournal, nats_server: NatsServer) -> None:
    await fill(journal, LOG, 1)
    before = await requests(nats_server)
    await fill(journal, LOG, 10, start=1)
    await fill(journal, LOG + "y", 10)
    assert await requests(nats_server) - before == 20


async def test_what_another_has_written_is_noticed(
    journal: NatsJournal, other_journal: NatsJournal
) -> None:
    await fill(journal, LOG, 2)
    await fill(other_journal, LOG, 1, start=2)
    assert not await journal.append(LOG, 2, b"mine", ttl=60)
    await fill(journal, LOG, 1, start=3)
    await other_journal.delete(LOG)
    assert not await journal.append(LOG, 4, b"late", ttl=60)
    await fill(other_journal, LOG, 4)
    # The log is as long as the one that this journal remembers, and yet another one.
    assert await journal.append(LOG, 4, b"4", ttl=60)
    assert await other_journal.read(LOG, 3, max_bytes=10) == [b"3", b"4"]


async def test_races_have_one_winner_whose_record_is_there(nats_server: NatsServer) -> None:
    journals = [NatsJournal(nats_server.url) for _ in range(4)]
    for index in range(200):
        records = [b"%d of %d" % (index, number) for number in range(4)]
        written = await asyncio.gather(
            *(
                one.append(LOG, index, record, ttl=60)
                for one, record in zip(journals, records, strict=True)
            )
        )
        assert written.count(True) == 1
        winner = records[written.index(True)]
        assert await journals[index % 4].read(LOG, index, max_bytes=100) == [winner]
    for one in journals:
        await one.aclose()


async def test_stream_deleted_under_way_is_made_again(
    journal: NatsJournal, other_journal: NatsJournal, nats_server: NatsServer
) -> None:
    await fill(journal, LOG, 3)
    await other_journal.read(LOG, 0, max_bytes=1)
    nats_server.ask(delete_stream)
    assert not await journal.append(LOG, 3, b"3", ttl=60)
    assert await other_journal.read(LOG, 1, max_bytes=10) == []
    await fill(other_journal, LOG, 3)
    assert await journal.append(LOG, 3, b"3", ttl=60)
    assert await other_journal.read(LOG, 2, max_bytes=10) == [b"2", b"3"]
    nats_server.ask(delete_stream)
    await journal.delete(LOG)
    await fill(journal, LOG, 1)


@pytest.mark.parametrize("first", [None, 2**50])
async def test_operators_stream_made_again_is_not_mistaken(
    journal: NatsJournal, other_journal: NatsJournal, nats_server: NatsServer, first: int | None
) -> None:
    settings: dict[str, Any] = {} if first is None else {"first_seq": first}
    create_journal(nats_server, **settings)
    await fill(journal, LOG, 3)
    nats_server.ask(delete_stream)
    create_journal(nats_server, **settings)
    # The third message of the subject has the number of the former one, and is another record.
    await fill(other_journal, "noise", 1)
    await fill(other_journal, LOG, 2)
    assert not await journal.append(LOG, 3, b"3", ttl=60)
    assert await journal.append(LOG, 2, b"2", ttl=60)
    assert await other_journal.read(LOG, 0, max_bytes=10) == [b"0", b"1", b"2"]


async def test_operators_stream_is_used_as_it_is(
    journal: NatsJournal, nats_server: NatsServer
) -> None:
    create_journal(nats_server, description="the operator's", max_age=3600 * 10**9)
    await fill(journal, LOG, 3, ttl=3600)
    assert nats_server.ask(stream_of).config.description == "the operator's"


async def test_foreign_message_is_told(journal: NatsJournal, nats_server: NatsServer) -> None:
    await fill(journal, LOG, 1)
    subject = f"$KV.{JOURNAL}.resumable-stream.rs.journal.7.x"
    nats_server.ask(lambda client: client.jetstream().publish(subject, b"not a record"))
    for call in (journal.append(LOG, 5, b"", ttl=60), journal.read(LOG, 1, max_bytes=1)):
        with pytest.raises(BackendUnavailableError, match="no other program"):
            await call


async def test_lost_memory_is_an_empty_journal(
    journal: NatsJournal, other_journal: NatsJournal, nats_server: NatsServer
) -> None:
    await fill(journal, LOG, 3)
    nats_server.restart()
    await eventually(lambda: not nats_server.connections(), "the old connections to go")

    async def reads_empty() -> bool:
        try:
            return await other_journal.read(LOG, 0, max_bytes=10) == []
        except BackendUnavailableError:
            return False

    await reached(reads_empty, "the journal to be empty")

    async def is_refused() -> bool:
        try:
            return not await journal.append(LOG, 3, b"3", ttl=60)
        except BackendUnavailableError:
            return False

    await reached(is_refused, "the append to be refused")
    await fill(journal, LOG, 3)


async def test_files_survive_a_restart(kept: NatsServer) -> None:
    journal = NatsJournal(kept.address)
    await fill(journal, LOG, 3)
    kept.kill()
    kept.start()

    async def is_read() -> bool:
        try:
            return await journal.read(LOG, 0, max_bytes=10) == [b"0", b"1", b"2"]
        except BackendUnavailableError:
            return False

    await reached(is_read, "the journal to be read")
    await fill(journal, LOG, 1, start=3)
    await journal.aclose()


async def test_backend_has_a_journal_that_is_closed_with_it(nats_server: NatsServer) -> None:
    backend = NatsBackend(nats_server.url)
    journal = backend.journal
    assert journal is backend.journal
    assert isinstance(journal, Journal)
    assert not isinstance(journal, OpenedJournal)
    assert journal.max_record_size == 65_536
    await fill(journal, LOG, 1)
    assert journal.max_record_size > 500_000
    assert await backend.create("k", "v", ttl=60)
    assert len(nats_server.connections()) == 1
    await backend.aclose()
    for call in (journal.append(LOG, 1, b"", ttl=60), journal.read(LOG, 0, max_bytes=1)):
        with pytest.raises(BackendUnavailableError, match="closed"):
            await call
    await eventually(lambda: not nats_server.connections(), "the connection to go")


async def test_logs_are_apart_from_keys_and_channels(nats_server: NatsServer) -> None:
    backend = NatsBackend(nats_server.url)
    for name in (LOG, "x", f"$KV:{BUCKET}:x", f"{JOURNAL}:x", "KV_resumable-stream:x", ">", "*"):
        await fill(backend.journal, name, 1)
        assert await backend.get(name) is None
        await backend.set(name, "v", ttl=60)
        await backend.publish(name, b"m")
        assert await backend.journal.read(name, 0, max_bytes=10) == [b"0"]
        await backend.journal.delete(name)
        assert await backend.get(name) == "v"
    await backend.aclose()


async def test_own_client_serves_a_journal_and_stays_open(nats_server: NatsServer) -> None:
    client = await nats.connect(nats_server.address)
    journal = NatsJournal(client=client, storage="memory")
    await fill(journal, LOG, 3)
    largest = bytes(journal.max_record_size)
    assert await journal.append(LOG, 3, largest, ttl=60)
    for size in (len(largest) + 1, client.max_payload - 100, client.max_payload, 2**21):
        with pytest.raises(RecordTooLargeError, match="max_record_size"):
            await journal.append(LOG, 4, bytes(size), ttl=60)
    assert await journal.read(LOG, 3, max_bytes=1) == [largest]
    await journal.aclose()
    await client.flush()
    assert client.is_connected
    await client.close()


def test_journal_has_the_settings_and_checks_of_a_backend() -> None:
    journal = open_journal(f"nats://127.0.0.1:{free_port()}?bucket=b&storage=memory")
    assert isinstance(journal, OpenedJournal)
    asyncio.run(journal.aclose())
    with pytest.raises(BackendUnavailableError):
        asyncio.run(journal.read(LOG, 0, max_bytes=1))
    mistakes: list[dict[str, Any]] = [
        {},
        {"url": "nats://h", "bucket": "a b"},
        {"url": "nats://h", "timeout": 0},
        {"url": "nats://h?colour=red"},
    ]
    for mistake in mistakes:
        with pytest.raises(InvalidSettingError):
            NatsJournal(**mistake)
