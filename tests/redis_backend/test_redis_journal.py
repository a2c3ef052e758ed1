"""The journal on Redis: what is sent and kept, over which connections."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio as aioredis

from resumable_stream._registry import find_journal_opener
from resumable_stream.errors import (
    BackendUnavailableError,
    InvalidSettingError,
    RecordTooLargeError,
)
from resumable_stream_redis import RedisBackend, RedisJournal, open_journal
from resumable_stream_redis._names import log_of
from support.fault_proxy import FaultProxy
from support.servers import ValkeyServer, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def journal(valkey: ValkeyServer) -> AsyncIterator[RedisJournal]:
    """A journal on the test's own server."""
    journal = RedisJournal(valkey.url, timeout=2)
    yield journal
    await journal.aclose()


def stats(server: ValkeyServer) -> dict[str, int]:
    with server.client() as client:
        found = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in found.items()}


def connections(server: ValkeyServer) -> list[str]:
    """Return the last command of each connection but this one."""
    with server.client() as client:
        own = client.client_id()
        return sorted(one["cmd"] for one in client.client_list() if int(one["id"]) != own)


async def fill(journal: RedisJournal, log: str, *records: bytes) -> None:
    for index, record in enumerate(records):
        assert await journal.append(log, index, record, ttl=60)


async def test_append_is_one_command(journal: RedisJournal, valkey: ValkeyServer) -> None:
    await fill(journal, "log", b"zero")
    before = stats(valkey)
    assert await journal.append("log", 1, b"one", ttl=60)
    assert not await journal.append("log", 1, b"other", ttl=60)
    assert await journal.read("log", 0, max_bytes=100) == [b"zero", b"one"]
    after = stats(valkey)
    # The commands in the scripts are counted too.
    expected = {"evalsha": 3, "eval": 1, "xadd": 1, "expire": 1, "multi": 0}
    assert {name: after.get(name, 0) - before.get(name, 0) for name in expected} == expected


async def test_script_is_loaded_again_after_a_flush(
    journal: RedisJournal, valkey: ValkeyServer
) -> None:
    logs = [f"log {number}" for number in range(50)]
    with valkey.client() as client:
        for index in range(5):
            written = await asyncio.gather(
                *(journal.append(log, index, b"%d" % index, ttl=60) for log in logs)
            )
            assert all(written)
            client.script_flush()
            found = await asyncio.gather(*(journal.read(log, 0, max_bytes=99) for log in logs))
            assert found == [[b"%d" % number for number in range(index + 1)]] * len(logs)
            client.script_flush()


async def test_races_have_one_winner_while_scripts_are_flushed(valkey: ValkeyServer) -> None:
    journals = [RedisJournal(valkey.url) for _ in range(4)]
    won = []
    with valkey.client() as client:
        for index in range(200):
            if index % 10 == 0:
                client.script_flush()
            rivals = [b"%d of %d" % (index, number) for number in range(4)]
            written = await asyncio.gather(
                *(
                    one.append("log", index, record, ttl=60)
                    for one, record in zip(journals, rivals, strict=True)
                )
            )
            assert sorted(written) == [False, False, False, True]
            won.append(rivals[written.index(True)])
    assert await journals[0].read("log", 0, max_bytes=100_000) == won
    await asyncio.gather(*(one.aclose() for one in journals))


async def test_log_lives_as_long_as_its_records(
    journal: RedisJournal, valkey: ValkeyServer
) -> None:
    with valkey.client() as client:
        for index, (ttl, most) in enumerate([(60, 60), (500, 500), (5, 500), (501, 501)]):
            assert await journal.append("log", index, b"record", ttl=ttl)
            assert (most - 20) * 1000 < client.pttl(log_of("log")) <= most * 1000
            # A refused one changes nothing.
            assert not await journal.append("log", index, b"record", ttl=9000)
            assert not await journal.append("log", index + 2, b"record", ttl=9000)
            assert client.pttl(log_of("log")) <= most * 1000


async def test_neither_a_lease_nor_an_append_waits_for_another_kind(valkey: ValkeyServer) -> None:
    backend = RedisBackend(valkey.url)
    await backend.set("lease", "1", ttl=60)
    assert connections(valkey) == ["set"]
    assert await backend.journal.append("log", 0, b"zero", ttl=60)
    assert await backend.journal.append("log", 1, b"one", ttl=60)
    await backend.journal.read("log", 0, max_bytes=100)
    await backend.set("lease", "2", ttl=60)
    assert connections(valkey) == ["eval", "evalsha", "set"]
    await backend.aclose()
    await eventually(lambda: connections(valkey) == [], "every connection to be closed")
    with pytest.raises(BackendUnavailableError, match="closed"):
        await backend.journal.append("log", 2, b"two", ttl=60)


async def test_lease_is_renewed_while_the_journal_hangs(valkey: ValkeyServer) -> None:
    async with FaultProxy(valkey.port) as proxy:
        backend = RedisBackend(proxy.url)
        journal = backend.journal
        proxy.to_server.delay = 0.02
        big = b"x" * journal.max_record_size
        # 4 MiB in pieces of 64 KiB, each of which waits.
        appends = [
            asyncio.create_task(journal.append(f"log {number}", 0, big, ttl=60))
            for number in range(8)
        ]
        await asyncio.sleep(0)
        await backend.set("lease", "1", ttl=60)
        assert not any(append.done() for append in appends)
        assert all(await asyncio.gather(*appends))
        await backend.aclose()


async def test_reads_under_way_are_bounded(valkey: ValkeyServer) -> None:
    async with FaultProxy(valkey.port) as proxy:
        journal = RedisJournal(proxy.url, timeout=1)
        await fill(journal, "log", b"zero")
        assert await journal.read("log", 0, max_bytes=9) == [b"zero"]
        before = stats(valkey)["evalsha"]
        proxy.to_client.black_hole = True
        reads = [asyncio.create_task(journal.read("log", 0, max_bytes=9)) for _ in range(20)]
        await eventually(lambda: stats(valkey)["evalsha"] == before + 8, "some to be sent")
        await asyncio.wait(reads[:8])
        proxy.to_client.black_hole = False
        results = await asyncio.gather(*reads, return_exceptions=True)
        assert all(isinstance(one, BackendUnavailableError) for one in results[:8])
        # The next ones had their turn, and whoever comes then finds the server again.
        assert results[16:] == [[b"zero"]] * 4
        await journal.aclose()


async def test_a_read_waits_for_its_turn_for_a_bounded_time(valkey: ValkeyServer) -> None:
    async with FaultProxy(valkey.port) as proxy:
        journal = RedisJournal(proxy.url, timeout=0.5)
        assert await journal.read("log", 0, max_bytes=9) == []
        proxy.to_client.black_hole = True
        reads = [journal.read("log", 0, max_bytes=9) for _ in range(80)]
        results = await asyncio.wait_for(asyncio.gather(*reads, return_exceptions=True), 10)
        assert all(isinstance(one, BackendUnavailableError) for one in results)
        assert "no turn to read within 2 s" in str(results[-1])
        await journal.aclose()


async def test_a_read_takes_the_server_a_bounded_time(
    journal: RedisJournal, valkey: ValkeyServer
) -> None:
    with valkey.client() as client, client.pipeline(transaction=False) as pipe:
        for number in range(3000):
            pipe.xadd(log_of("small"), {"r": b"%d" % number}, id=f"{number + 1}-0")
        for number in range(40):
            pipe.xadd(log_of("large"), {"r": b"x" * 60_000}, id=f"{number + 1}-0")
        pipe.execute()
    before = stats(valkey)
    assert len(await journal.read("small", 0, max_bytes=10**9) or ()) == 1000
    assert stats(valkey)["xrange"] - before.get("xrange", 0) < 100
    assert len(await journal.read("large", 0, max_bytes=10**9) or ()) == 2**20 // 60_000


async def test_what_is_trimmed_by_hand_is_missed(
    journal: RedisJournal, valkey: ValkeyServer
) -> None:
    records = [b"%d" % number for number in range(10)]
    await fill(journal, "log", *records)
    with valkey.client() as client:
        client.xtrim(log_of("log"), maxlen=6, approximate=False)
        client.xdel(log_of("log"), "8-0")
        assert await journal.read("log", 3, max_bytes=100) is None
        assert await journal.read("log", 4, max_bytes=100) == records[4:7]
        assert await journal.read("log", 7, max_bytes=100) is None
        # Numbers go on, whatever is left.
        for index in (5, 7, 9, 11):
            assert not await journal.append("log", index, b"x", ttl=60)
        assert await journal.append("log", 10, b"10", ttl=60)
        assert await journal.read("log", 8, max_bytes=100) == [b"8", b"9", b"10"]
        client.xtrim(log_of("log"), maxlen=0, approximate=False)
        assert await journal.read("log", 0, max_bytes=100) == []
        assert not await journal.append("log", 0, b"x", ttl=60)
    await journal.delete("log")
    assert await journal.append("log", 0, b"x", ttl=60)


async def test_large_record_is_refused_before_anything_is_sent(
    journal: RedisJournal, valkey: ValkeyServer
) -> None:
    with pytest.raises(RecordTooLargeError, match=r"524289 .* max_record_size 524288"):
        await journal.append("log", 0, b"x" * (journal.max_record_size + 1), ttl=60)
    assert connections(valkey) == []


async def test_no_key_is_taken_for_a_log(valkey: ValkeyServer) -> None:
    backend = RedisBackend(valkey.url)
    names = ["x" + end for end in ("", "~rs-log", "~rs-key", "~rs-log~rs-key", "~rs-key~rs-key")]
    for name in names:
        assert await backend.create(name, name, ttl=60)
        assert await backend.journal.append(name, 0, name.encode(), ttl=60)
    for name in names:
        assert await backend.get(name) == name
        assert await backend.journal.read(name, 0, max_bytes=100) == [name.encode()]
    with valkey.client() as client:
        assert len(client.keys("x*")) == 2 * len(names)
    await backend.aclose()


def test_settings_are_checked_as_a_backend_checks_them() -> None:
    mistakes: list[dict[str, Any]] = [
        {},
        {"url": "redis://h", "client": aioredis.Redis()},
        {"url": "redis://h", "timeout": 0},
        {"url": "redis://u:secret@h/0?colour=red"},
        {"client": "redis://h"},
    ]
    for mistake in mistakes:
        with pytest.raises(InvalidSettingError) as of_journal:
            RedisJournal(**mistake)
        with pytest.raises(InvalidSettingError) as of_backend:
            RedisBackend(**mistake)
        assert str(of_journal.value) == str(of_backend.value)


@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix", "valkey", "valkeys"])
def test_each_scheme_opens_a_journal(scheme: str) -> None:
    assert find_journal_opener(f"{scheme}://h") is open_journal


async def test_unix_socket_and_own_client_serve(name: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with ValkeyServer("--unixsocket", str(path)) as server:
        client = aioredis.Redis.from_url(server.url, decode_responses=True, protocol=3)
        one, two = open_journal(f"unix://{path}"), RedisJournal(client=client)
        await fill(one, name, b"\xff")
        assert await two.read(name, 0, max_bytes=1) == [b"\xff"]
        await one.aclose()
        await two.aclose()
        assert await client.ping()
        await client.aclose()
