"""A cluster: keys on the nodes of their slots, messages to every node, and a node that dies."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from redis.asyncio.cluster import ClusterNode, RedisCluster

from resumable_stream.errors import BackendError, BackendUnavailableError
from resumable_stream_redis import RedisBackend, RedisJournal
from resumable_stream_redis._names import log_of
from support.inbox import Inbox
from support.servers import ClusterSet, ValkeyServer, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterSet]:
    with ClusterSet() as cluster:
        yield cluster


def client_of(cluster: ClusterSet) -> RedisCluster:
    return RedisCluster(
        startup_nodes=[ClusterNode("127.0.0.1", node.port) for node in cluster.nodes]
    )


def hub_of(cluster: ClusterSet, channel: str) -> ValkeyServer:
    """Find the node on which a channel is subscribed."""
    for node in cluster.nodes:
        with node.client() as client:
            if channel in client.pubsub_channels():
                return node
    raise AssertionError(f"nobody is subscribed to {channel}")


async def test_keys_and_messages_reach_every_node(cluster: ClusterSet, name: str) -> None:
    client = client_of(cluster)
    one, two = RedisBackend(client=client), RedisBackend(client=client)
    inboxes = [Inbox() for _ in range(30)]
    for number, inbox in enumerate(inboxes):
        key = f"{name}:{number}"
        assert await one.create(key, "1", ttl=60)
        assert not await two.create(key, "2", ttl=60)
        assert await two.compare_and_set(key, "1", "2", ttl=60)
        assert await one.get(key) == "2"
        await one.delete(key)
        await inbox.subscribe(one, key)
        await asyncio.gather(*(two.publish(key, b"%d" % turn) for turn in range(20)))
    for inbox in inboxes:
        await inbox.received(*(b"%d" % turn for turn in range(20)))
    await one.aclose()
    await two.aclose()
    assert await client.set(name, "still open", ex=60)
    await client.aclose()


async def test_moved_slot_is_followed(cluster: ClusterSet) -> None:
    client = client_of(cluster)
    backend = RedisBackend(client=client)
    source, target = cluster.primaries[0], cluster.primaries[1]
    key = "{" + "06S" + "}:key"  # slot 0
    assert client.keyslot(key) == 0
    await backend.set(key, "1", ttl=600)
    with source.client() as from_node, target.client() as to_node:
        source_id = from_node.execute_command("CLUSTER", "MYID")
        target_id = to_node.execute_command("CLUSTER", "MYID")
        to_node.execute_command("CLUSTER", "SETSLOT", 0, "IMPORTING", source_id)
        from_node.execute_command("CLUSTER", "SETSLOT", 0, "MIGRATING", target_id)
        # During the migration the key is still at the source, and a new key is made at the target.
        assert await backend.get(key) == "1"
        assert await backend.create("{06S}:new", "1", ttl=600)
        assert await backend.compare_and_set("{06S}:new", "1", "2", ttl=600)
        from_node.execute_command("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
        assert await backend.compare_and_set(key, "1", "2", ttl=600)
        for node in (to_node, from_node):
            node.execute_command("CLUSTER", "SETSLOT", 0, "NODE", target_id)
    assert await backend.compare_and_set(key, "2", "3", ttl=600)
    assert await backend.get(key) == "3"
    await backend.aclose()
    await client.aclose()


async def test_logs_rest_on_every_node(cluster: ClusterSet, name: str) -> None:
    client = client_of(cluster)
    one, two = RedisJournal(client=client), RedisJournal(client=client)
    logs = [f"{name}:{number}" for number in range(30)]
    assert all(await asyncio.gather(*(one.append(log, 0, b"zero", ttl=60) for log in logs)))
    assert not any(await asyncio.gather(*(two.append(log, 0, b"x", ttl=60) for log in logs)))
    assert all(await asyncio.gather(*(two.append(log, 1, b"one", ttl=60) for log in logs)))
    found = await asyncio.gather(*(one.read(log, 0, max_bytes=10) for log in logs))
    assert found == [[b"zero", b"one"]] * len(logs)
    for node in cluster.primaries:
        with node.client() as direct:
            assert direct.keys(f"{name}*")
    await asyncio.gather(*(one.delete(log) for log in logs))
    assert not any(await asyncio.gather(*(two.read(log, 0, max_bytes=10) for log in logs)))
    await one.aclose()
    await two.aclose()
    await client.aclose()


async def test_log_of_a_moved_slot_is_followed(cluster: ClusterSet) -> None:
    client = client_of(cluster)
    journal, other = RedisJournal(client=client), RedisJournal(client=client)
    source, target = cluster.primaries[2], cluster.primaries[1]
    tag = next(
        tag for tag in map(str, range(10_000)) if client.keyslot(log_of("{" + tag + "}")) > 10922
    )
    log, new, late = ("{" + tag + "}:" + part for part in ("log", "new", "late"))
    slot = client.keyslot(log_of(log))
    assert await journal.append(log, 0, b"0", ttl=600)
    assert await other.append(log, 1, b"1", ttl=600)
    with source.client() as from_node, target.client() as to_node:
        source_id = from_node.execute_command("CLUSTER", "MYID")
        target_id = to_node.execute_command("CLUSTER", "MYID")
        to_node.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        from_node.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        # During the migration the log is still at the source, and a new one begins at the target,
        # which does not know the scripts yet.
        assert await journal.append(log, 2, b"2", ttl=600)
        assert await journal.append(new, 0, b"0", ttl=600)
        assert await other.read(new, 0, max_bytes=10) == [b"0"]
        from_node.execute_command("MIGRATE", "127.0.0.1", target.port, log_of(log), 0, 5000)
        assert await journal.append(log, 3, b"3", ttl=600)
        assert not await other.append(log, 3, b"x", ttl=600)
        for node in (to_node, from_node):
            node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", target_id)
        assert await other.append(log, 4, b"4", ttl=600)
        assert await journal.append(late, 0, b"0", ttl=600)
        assert 500 < to_node.ttl(log_of(log)) <= 600
    for one in (journal, other):
        assert await one.read(log, 0, max_bytes=10) == [b"0", b"1", b"2", b"3", b"4"]
    await journal.aclose()
    await other.aclose()
    await client.aclose()


async def test_single_node_url_names_the_remedy(cluster: ClusterSet, name: str) -> None:
    backend = RedisBackend(cluster.primaries[0].url)
    with pytest.raises(BackendUnavailableError, match="RedisCluster"):
        await asyncio.gather(*(backend.get(f"{name}:{number}") for number in range(50)))
    with pytest.raises(BackendUnavailableError, match="RedisCluster"):
        await asyncio.gather(
            *(backend.journal.append(f"{name}:{number}", 0, b"", ttl=60) for number in range(50))
        )
    await backend.aclose()


async def test_dead_node_is_survived(name: str, inbox: Inbox) -> None:
    with ClusterSet() as cluster:
        client = client_of(cluster)
        backend, other = RedisBackend(client=client, timeout=2), RedisBackend(client=client)
        await inbox.subscribe(backend, name)
        await backend.publish(name, b"before")
        await inbox.received(b"before")
        hub_of(cluster, name).kill()
        await inbox.lost()
        deadline = time.monotonic() + 30
        for number in range(60):
            while True:
                try:
                    await backend.set(f"{name}:{number}", "after", ttl=60)
                    break
                except BackendError:
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.05)
        await other.publish(name, b"after")
        await inbox.received(b"before", b"after")
        await eventually(lambda: len(inbox.losses) == 1, "no further loss")
        await backend.aclose()
        await other.aclose()
        await client.aclose()
