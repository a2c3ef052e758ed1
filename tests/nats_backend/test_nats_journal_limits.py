"""What stops a journal on NATS: a full store, unfit settings, missing rights, small payloads."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream.errors import (
    AccessDeniedError,
    BackendUnavailableError,
    JournalFullError,
    RecordTooLargeError,
)
from resumable_stream_nats import NatsJournal
from support.nats_journals import JOURNAL, LOG, create_journal
from support.nats_servers import NatsServer
from support.nats_users import url_of, users

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

API = "$JS.API.STREAM"
RECORD = b"x" * 50_000


async def fill_up(journal: NatsJournal) -> tuple[int, str]:
    """Append until there is no room; return how many records there are, and what is told."""
    for index in range(1000):
        try:
            assert await journal.append(LOG, index, RECORD, ttl=60)
        except JournalFullError as error:
            return index, str(error)
    raise AssertionError("there is always room")


async def outcome_of(journal: NatsJournal) -> str:
    try:
        return str(await journal.append(LOG, 0, RECORD, ttl=60))
    except BackendUnavailableError as error:
        return str(error)


async def is_whole(journal: NatsJournal, records: int) -> None:
    """Check that all records are there, and that there is room again for another log."""
    assert await journal.read(LOG, 0, max_bytes=10**9) == [RECORD] * records
    await journal.delete(LOG)
    assert await journal.append(LOG, 0, RECORD, ttl=60)


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"max_bytes": 300_000}, "max_bytes of its stream"), ({"max_msgs": 5}, "max_msgs of its")],
)
async def test_full_stream_names_its_limit(
    nats_server: NatsServer, settings: dict[str, Any], named: str
) -> None:
    create_journal(nats_server, **settings)
    journal = NatsJournal(nats_server.url)
    records, told = await fill_up(journal)
    assert records == 5
    assert named in told
    await is_whole(journal, records)
    await journal.aclose()


@pytest.mark.parametrize(("limit", "storage"), [("max_file", "file"), ("max_mem", "memory")])
async def test_full_account_names_its_limit(limit: str, storage: str) -> None:
    account = f"A: {{jetstream: {{{limit}: 1MB}}, users: [{{user: a, password: pw}}]}}"
    config = f"accounts: {{{account}, SYS: {{}}}}, system_account: SYS"
    with NatsServer(config) as server:
        journal = NatsJournal(server.address.replace("//", "//a:pw@"), storage=storage)
        records, told = await fill_up(journal)
        assert limit in told
        await is_whole(journal, records)
        await journal.aclose()


async def test_full_server_names_its_limit(tmp_path: Path) -> None:
    config = f'jetstream: {{store_dir: "{tmp_path}", max_file_store: 1MB}}'
    with NatsServer(config, jetstream=False) as server:
        journal = NatsJournal(server.address)
        records, told = await fill_up(journal)
        assert "max_file_store" in told
        await is_whole(journal, records)
        await journal.aclose()


@pytest.mark.parametrize(
    ("limit", "told"),
    [("max_streams: 1", "max_streams"), ("max_bytes_required: true", "create it beforehand")],
)
async def test_stream_that_the_account_forbids_names_the_remedy(limit: str, told: str) -> None:
    account = f"A: {{jetstream: {{{limit}}}, users: [{{user: a, password: pw}}]}}"
    config = f"accounts: {{{account}, SYS: {{}}}}, system_account: SYS"
    with NatsServer(config) as server:
        url = server.url.replace("//", "//a:pw@")
        journals = [NatsJournal(url, bucket=bucket) for bucket in ("first", "second")]
        outcomes = [await outcome_of(journal) for journal in journals]
        assert told in outcomes[1]
        for journal in journals:
            await journal.aclose()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"subjects": ["elsewhere.>"]}, "does not have the subjects"),
        ({"allow_msg_ttl": False}, "allow_msg_ttl"),
        ({"discard": "old"}, "discard old: set it to new"),
        ({"max_msgs_per_subject": 100}, "max_msgs_per_subject 100"),
        ({"retention": "interest"}, "retention interest: set it to limits"),
        ({"deny_purge": True}, "deny_purge True: set it to false"),
        ({"max_msg_size": 100_000}, "max_msg_size 100000: set it to 524288"),
        ({"subject_delete_marker_ttl": 10**9, "allow_rollup_hdrs": True}, "subject_delete_marker"),
        ({"max_age": 60 * 10**9}, r"max_age\) to 60 s, less than the 600 s"),
    ],
)
async def test_unfit_stream_names_the_setting(
    nats_server: NatsServer, settings: dict[str, Any], named: str
) -> None:
    create_journal(nats_server, **settings)
    journal = NatsJournal(nats_server.url)
    for _ in range(2):
        with pytest.raises(BackendUnavailableError, match=named):
            await journal.append(LOG, 0, b"x", ttl=600)
    await journal.aclose()


async def test_stream_with_the_journals_subjects_is_told(nats_server: NatsServer) -> None:
    create_journal(nats_server, name="another")
    journal = NatsJournal(nats_server.url)
    with pytest.raises(BackendUnavailableError, match="subjects overlap"):
        await journal.append(LOG, 0, b"x", ttl=60)
    await journal.aclose()


async def test_old_server_is_told_by_its_version(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resumable_stream_nats._kept_stream._NEEDED_VERSION", (1000, 0))
    journal = NatsJournal(nats_server.url)
    for call in (journal.append(LOG, 0, b"", ttl=1), journal.read(LOG, 0, max_bytes=1)):
        with pytest.raises(BackendUnavailableError, match="has no per-message TTL"):
            await call
    assert nats_server.look("jsz")["streams"] == 0
    await journal.aclose()


async def test_absent_jetstream_is_named() -> None:
    with NatsServer(jetstream=False) as server:
        journal = NatsJournal(server.url)
        for call in (
            journal.append(LOG, 0, b"", ttl=1),
            journal.read(LOG, 0, max_bytes=1),
            journal.delete(LOG),
        ):
            with pytest.raises(BackendUnavailableError, match="nats-server -js"):
                await call
        await journal.aclose()


@pytest.mark.parametrize(("payload", "size"), [("66048", 65_536), ("128KB", 130_560)])
async def test_largest_record_fits_the_servers_payload(payload: str, size: int) -> None:
    with NatsServer(f"max_payload: {payload}") as server:
        journal = NatsJournal(server.url)
        assert journal.max_record_size == 65_536
        assert await journal.read(LOG, 0, max_bytes=1) == []
        assert journal.max_record_size == size
        record = bytes(range(256)) * (size // 256)
        assert await journal.append(LOG, 0, record, ttl=60)
        with pytest.raises(RecordTooLargeError, match=f"{size} bytes"):
            await journal.append(LOG, 1, record + b"x", ttl=60)
        assert await journal.read(LOG, 0, max_bytes=1) == [record]
        await journal.aclose()


async def test_too_small_payload_is_told() -> None:
    with NatsServer("max_payload: 66047") as server:
        journal = NatsJournal(server.url)
        with pytest.raises(BackendUnavailableError, match="max_payload is 66047 bytes"):
            await journal.append(LOG, 0, b"", ttl=60)
        await journal.aclose()


RIGHTS = {
    "write": f"$KV.{JOURNAL}.>",
    "info": f"{API}.INFO.{JOURNAL}",
    "read": f"{API}.MSG.GET.{JOURNAL}",
    "purge": f"{API}.PURGE.{JOURNAL}",
    "together": f"$JS.API.DIRECT.GET.{JOURNAL}",
}
# The calls that need each right; all others work without it.
NEEDED_BY: dict[str, set[str]] = {
    "write": {"append"},
    "info": {"append", "read", "delete"},
    "read": {"append", "read", "delete"},
    "purge": {"delete"},
    "together": set(),
}


@pytest.mark.parametrize("missing", NEEDED_BY)
async def test_each_missing_right_is_named_to_its_caller(missing: str) -> None:
    publish = [subject for right, subject in RIGHTS.items() if right != missing]
    with NatsServer(users(short=(publish, ["_INBOX.>"]))) as server:
        root = NatsJournal(url_of(server, "root"))
        assert await root.append(LOG, 0, b"x", ttl=60)
        calls: dict[str, Callable[[NatsJournal], Awaitable[object]]] = {
            "append": lambda journal: journal.append(LOG, 1, b"x", ttl=60),
            "read": lambda journal: journal.read(LOG, 0, max_bytes=1),
            "delete": lambda journal: journal.delete(LOG),
        }
        for name, call in calls.items():
            journal = NatsJournal(url_of(server, "short"))
            if name in NEEDED_BY[missing]:
                began = time.monotonic()
                with pytest.raises(AccessDeniedError) as caught:
                    await call(journal)
                assert time.monotonic() - began < 2
                assert f'to "{RIGHTS[missing].rstrip(">").lower()}' in str(caught.value)
                assert ".PURGE" in str(caught.value)
            else:
                await call(journal)
            await journal.aclose()
        await root.aclose()


async def test_least_rights_suffice() -> None:
    least = [subject for right, subject in RIGHTS.items() if right != "together"]
    rights = {
        "least": (least, ["_INBOX.>"]),
        "first": ([*least, f"{API}.CREATE.{JOURNAL}"], ["_INBOX.>"]),
    }
    with NatsServer(users(**rights)) as server:
        journals = [NatsJournal(url_of(server, user)) for user in ("least", "first")]
        with pytest.raises(BackendUnavailableError, match="may not create it: create it before"):
            await journals[0].read(LOG, 0, max_bytes=1)
        for journal in reversed(journals):
            assert await journal.append(LOG, 0, b"x", ttl=60)
            assert await journal.append(LOG, 1, b"y", ttl=60)
            assert await journal.read(LOG, 0, max_bytes=9) == [b"x", b"y"]
            await journal.delete(LOG)
            await journal.aclose()


async def test_domain_holds_the_journal() -> None:
    with NatsServer(domain="hub") as server:
        journal = NatsJournal(server.url, domain="hub")
        assert await journal.append(LOG, 0, b"x", ttl=60)
        assert await journal.append(LOG, 1, b"y", ttl=60)
        assert await journal.read(LOG, 0, max_bytes=9) == [b"x", b"y"]
        await journal.delete(LOG)
        assert await journal.read(LOG, 0, max_bytes=9) == []
        await journal.aclose()
        nowhere = NatsJournal(server.url, domain="nowhere")
        with pytest.raises(BackendUnavailableError, match="check the domain"):
            await nowhere.read(LOG, 0, max_bytes=9)
        await nowhere.aclose()


async def test_many_large_records_at_once_all_come(nats_server: NatsServer) -> None:
    journal = NatsJournal(nats_server.url)
    await journal.read(LOG, 0, max_bytes=1)
    largest = bytes(journal.max_record_size)
    logs = [f"{LOG}{number}" for number in range(40)]
    assert all(await asyncio.gather(*(journal.append(log, 0, largest, ttl=60) for log in logs)))
    found = await asyncio.gather(*(journal.read(log, 0, max_bytes=1) for log in logs))
    assert found == [[largest]] * 40
    await journal.aclose()
