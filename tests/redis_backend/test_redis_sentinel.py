"""Sentinel: the backend follows the primary, whatever happens to the old one."""

from __future__ import annotations

import asyncio
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio.sentinel

from processes.left_open import end_at_every_turn
from resumable_stream.errors import BackendError, InvalidSettingError
from resumable_stream_redis import RedisBackend, RedisJournal
from resumable_stream_redis._names import log_of
from support.servers import SentinelSet, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.inbox import Inbox


@pytest.fixture
def sentinels() -> Iterator[SentinelSet]:
    with SentinelSet() as sentinels:
        yield sentinels


def manager_of(addresses: list[tuple[str, int]]) -> Any:
    # redis-py leaves this class untyped.
    make: Any = redis.asyncio.sentinel.Sentinel
    return make(addresses)


async def write_until(primary: redis.Redis, backend: RedisBackend, name: str) -> None:
    """Write until the new primary has the value; writes that the old one takes are lost."""
    deadline = time.monotonic() + 30
    while primary.get(name) != "after":
        assert time.monotonic() < deadline
        try:
            await backend.set(name, "after", ttl=60)
        except BackendError:
            await asyncio.sleep(0.05)


async def first_log_at(primary: redis.Redis, journal: RedisJournal, name: str) -> str:
    """Begin logs until one is at this server; all are written, as nothing refuses them."""
    deadline = time.monotonic() + 30
    for number in count():
        assert time.monotonic() < deadline
        log = f"{name}:{number}"
        assert await journal.append(log, 0, b"after", ttl=60)
        if primary.exists(log_of(log)):
            return log
        await asyncio.sleep(0.01)
    raise AssertionError


def name_another_primary(sentinels: SentinelSet) -> None:
    """Let the Sentinels watch another primary; nobody tells the old one or its clients."""
    for sentinel in sentinels.sentinels:
        with sentinel.client() as direct:
            direct.execute_command("SENTINEL", "REMOVE", sentinels.service)
            direct.execute_command(
                *("SENTINEL", "MONITOR", sentinels.service, "127.0.0.1"),
                *(sentinels.replica.port, "2"),
            )


@pytest.mark.parametrize("way", ["killed", "frozen", "demoted"])
async def test_failover_is_followed(
    sentinels: SentinelSet, name: str, inbox: Inbox, way: str
) -> None:
    manager = manager_of(sentinels.addresses)
    client = manager.master_for(sentinels.service)
    backend = RedisBackend(client=client, timeout=2)
    await inbox.subscribe(backend, name)
    await backend.set(name, "before", ttl=60)
    if way == "killed":
        # A Sentinel often dies along with the server beside it.
        sentinels.sentinels[0].kill()
        sentinels.primary.kill()
    elif way == "frozen":
        sentinels.primary.freeze()
    else:
        with sentinels.sentinels[0].client() as sentinel:
            sentinel.execute_command("SENTINEL", "FAILOVER", sentinels.service)
    with sentinels.replica.client() as direct:
        await eventually(
            lambda: direct.info("replication")["role"] == "master", "the replica to take over", 30
        )
        await write_until(direct, backend, name)
        await inbox.lost()
        await backend.publish(name, b"after")
        await inbox.received(b"after")
        await eventually(lambda: name in direct.pubsub_channels(), "the channel at the primary")
    await backend.aclose()
    await client.aclose()
    await asyncio.gather(*(one.aclose() for one in manager.sentinels))


async def test_isolated_old_primary_is_left(
    sentinels: SentinelSet, name: str, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resumable_stream_redis._topology._WATCH_INTERVAL", 0.5)
    manager = manager_of(sentinels.addresses)
    client = manager.master_for(sentinels.service)
    backend = RedisBackend(client=client)
    await inbox.subscribe(backend, name)
    await backend.set(name, "before", ttl=60)
    name_another_primary(sentinels)
    with sentinels.replica.client() as direct:
        direct.execute_command("REPLICAOF", "NO", "ONE")
        await inbox.lost()
        await eventually(lambda: name in direct.pubsub_channels(), "the channel to move")
        await backend.set(name, "after", ttl=60)
        assert direct.get(name) == "after"
    await backend.aclose()
    await client.aclose()
    await asyncio.gather(*(one.aclose() for one in manager.sentinels))


async def test_journal_leaves_an_isolated_old_primary(
    sentinels: SentinelSet, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resumable_stream_redis._topology._WATCH_INTERVAL", 0.2)
    manager = manager_of(sentinels.addresses)
    client = manager.master_for(sentinels.service)
    journal = RedisJournal(client=client)
    assert await journal.append(name, 0, b"before", ttl=60)
    assert await journal.read(name, 0, max_bytes=10) == [b"before"]
    name_another_primary(sentinels)
    with sentinels.replica.client() as direct:
        direct.execute_command("REPLICAOF", "NO", "ONE")
        log = await first_log_at(direct, journal, name)
    deadline = time.monotonic() + 30
    while await journal.read(log, 0, max_bytes=10) != [b"after"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await journal.aclose()
    assert len(asyncio.all_tasks()) == 1
    await client.aclose()
    await asyncio.gather(*(one.aclose() for one in manager.sentinels))


def test_end_of_the_loop_leaves_nothing(
    sentinels: SentinelSet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("resumable_stream_redis._topology._WATCH_INTERVAL", 0.001)
    end_at_every_turn(
        lambda: RedisBackend(client=manager_of(sentinels.addresses).master_for(sentinels.service))
    )
    # Anything else that is left open causes a warning, which fails the test.
    assert [one.getMessage() for one in caplog.records if one.name == "asyncio"] == []


async def test_replica_client_is_refused() -> None:
    manager = manager_of([("127.0.0.1", 1)])
    client = manager.slave_for("primary")
    with pytest.raises(InvalidSettingError, match="master_for"):
        RedisBackend(client=client)
    await client.aclose()
    await asyncio.gather(*(one.aclose() for one in manager.sentinels))
