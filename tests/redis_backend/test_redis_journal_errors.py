"""What the journal on Redis says of a server that refuses, hangs or is full."""

from __future__ import annotations

import pytest

from resumable_stream.errors import (
    AccessDeniedError,
    BackendUnavailableError,
    JournalFullError,
    OutcomeUnknownError,
    WrongKeyTypeError,
)
from resumable_stream_redis import RedisBackend, RedisJournal
from resumable_stream_redis._names import log_of
from support.fault_proxy import FaultProxy
from support.servers import ValkeyServer

LOG = "resumable-stream:rs:journal:1:x"
KEY = log_of(LOG)
RIGHTS = ("eval", "evalsha", "xadd", "xlen", "xrange", "xrevrange", "pttl", "expire", "del")


def allow(server: ValkeyServer, *rights: str) -> None:
    """Make a user who may do nothing else."""
    with server.client() as client:
        client.execute_command(
            *("ACL", "SETUSER", "someone", "reset", "on", ">pw", "resetchannels"),
            *("~resumable-stream:rs:*", *(f"+{right}" for right in rights)),
        )


def opened(server: ValkeyServer) -> RedisJournal:
    return RedisJournal(server.url.replace("//", "//someone:pw@"), timeout=2)


async def use(journal: RedisJournal) -> None:
    """Make each call once, among them an append that is refused."""
    await journal.append(LOG, 0, b"zero", ttl=60)
    await journal.append(LOG, 0, b"zero", ttl=60)
    await journal.read(LOG, 0, max_bytes=10)
    await journal.delete(LOG)


async def test_least_rights_suffice(valkey: ValkeyServer) -> None:
    allow(valkey, *RIGHTS)
    journal = opened(valkey)
    await use(journal)
    with pytest.raises(AccessDeniedError, match=r"log 'elsewhere'.* \(~resumable-stream:rs:"):
        await journal.append("elsewhere", 0, b"zero", ttl=60)
    await journal.aclose()


@pytest.mark.parametrize("missing", RIGHTS)
async def test_missing_right_is_named_and_nothing_is_left(
    valkey: ValkeyServer, missing: str
) -> None:
    allow(valkey, *(right for right in RIGHTS if right != missing))
    journal = opened(valkey)
    with pytest.raises(AccessDeniedError, match=f"{missing}.* on the keys that start with"):
        await use(journal)
    with valkey.client() as client:
        # What was written before the right was missed expires.
        assert client.ttl(KEY) != -1
        assert client.exists(KEY) == (missing in {"xrevrange", "xrange", "del"})
    await journal.aclose()


async def test_right_that_is_taken_away_leaves_no_doubt_about_what_is_written(
    valkey: ValkeyServer,
) -> None:
    allow(valkey, *RIGHTS)
    journal = opened(valkey)
    assert await journal.append(LOG, 0, b"zero", ttl=60)
    allow(valkey, *(right for right in RIGHTS if right != "expire"))
    with pytest.raises(OutcomeUnknownError, match=r"may live for less than 90 s.* expire"):
        await journal.append(LOG, 1, b"one", ttl=90)
    assert await journal.read(LOG, 0, max_bytes=10) == [b"zero", b"one"]
    await journal.aclose()


async def test_full_server_keeps_what_it_has() -> None:
    with ValkeyServer("--maxmemory-policy", "noeviction") as server:
        journal = RedisJournal(server.url)
        record = b"x" * 100_000
        with server.client() as client:
            client.config_set("maxmemory", client.info("memory")["used_memory"] + 1_000_000)
        index = 0
        while True:
            try:
                assert await journal.append(LOG, index, record, ttl=60)
            except JournalFullError as error:
                assert "raise maxmemory" in str(error)  # noqa: PT017 - it is unknown when it comes
                break
            index += 1
        assert index > 0
        with pytest.raises(JournalFullError):
            await journal.append("other", 0, record, ttl=60)
        assert await journal.read(LOG, index - 1, max_bytes=1) == [record]
        assert await journal.read(LOG, index, max_bytes=1) == []
        assert await journal.read("other", 0, max_bytes=1) == []
        assert not await journal.append(LOG, 0, record, ttl=60)
        await journal.delete(LOG)
        assert await journal.append("other", 0, record, ttl=60)
        await journal.aclose()


async def test_key_of_another_kind_is_named(valkey: ValkeyServer) -> None:
    with valkey.client() as client:
        client.set(KEY, "something")
    journal = RedisJournal(valkey.url)
    with pytest.raises(WrongKeyTypeError, match=f"'{LOG}' .* another key_prefix"):
        await journal.append(LOG, 0, b"zero", ttl=60)
    with pytest.raises(WrongKeyTypeError):
        await journal.read(LOG, 0, max_bytes=10)
    await journal.delete(LOG)
    assert await journal.append(LOG, 0, b"zero", ttl=60)
    await journal.aclose()


async def test_replica_is_left_once_it_refuses(valkey: ValkeyServer) -> None:
    # Its primary is away, so it never gets what is written to the new one.
    with ValkeyServer("--replicaof", "127.0.0.1", "1") as replica:
        async with FaultProxy(replica.port) as proxy:
            journal = RedisJournal(proxy.url)
            assert await journal.read(LOG, 0, max_bytes=10) == []
            with pytest.raises(BackendUnavailableError, match="connect to the primary"):
                await journal.append(LOG, 0, b"zero", ttl=60)
            proxy.aim_at(valkey.port)
            assert await journal.append(LOG, 0, b"zero", ttl=60)
            assert await journal.read(LOG, 0, max_bytes=10) == [b"zero"]
            await journal.aclose()


@pytest.mark.parametrize("way", ["swallowed", "cut"])
async def test_lost_reply_leaves_the_outcome_unknown(valkey: ValkeyServer, way: str) -> None:
    async with FaultProxy(valkey.port) as proxy:
        journal = RedisJournal(proxy.url, timeout=1)
        assert await journal.append(LOG, 0, b"zero", ttl=60)
        if way == "cut":
            proxy.to_client.cut_after = 1
        else:
            proxy.to_client.black_hole = True
        with pytest.raises(OutcomeUnknownError):
            await journal.append(LOG, 1, b"one", ttl=60)
        proxy.to_client.cut_after, proxy.to_client.black_hole = None, False
        assert await journal.read(LOG, 0, max_bytes=10) == [b"zero", b"one"]
        assert not await journal.append(LOG, 1, b"one", ttl=60)
        assert await journal.append(LOG, 2, b"two", ttl=60)
        await journal.aclose()


async def test_lost_command_leaves_the_outcome_unknown(valkey: ValkeyServer) -> None:
    async with FaultProxy(valkey.port) as proxy:
        journal = RedisJournal(proxy.url, timeout=1)
        assert await journal.append(LOG, 0, b"zero", ttl=60)
        proxy.to_server.black_hole = True
        with pytest.raises(OutcomeUnknownError):
            await journal.append(LOG, 1, b"one", ttl=60)
        with pytest.raises(BackendUnavailableError):
            await journal.read(LOG, 0, max_bytes=10)
        proxy.to_server.black_hole = False
        assert await journal.read(LOG, 1, max_bytes=10) == []
        assert await journal.append(LOG, 1, b"one", ttl=60)
        await journal.aclose()


async def test_absent_server_has_written_nothing() -> None:
    with ValkeyServer() as server:
        journal, backend = RedisJournal(server.url, timeout=1), RedisBackend(server.url)
        server.kill()
        for call in (
            journal.append(LOG, 0, b"zero", ttl=60),
            journal.read(LOG, 0, max_bytes=10),
            journal.delete(LOG),
            backend.journal.append(LOG, 0, b"zero", ttl=60),
        ):
            with pytest.raises(BackendUnavailableError) as caught:
                await call
            assert caught.value.__cause__ is not None
        server.start()
        assert await journal.append(LOG, 0, b"zero", ttl=60)
        await journal.aclose()
        await backend.aclose()
