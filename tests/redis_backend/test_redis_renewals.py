"""Keys of Redis that are renewed together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio.cluster import ClusterNode, RedisCluster

from resumable_stream_redis import RedisBackend
from support.servers import ClusterSet, ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.rule("KV-7")


def calls(server: ValkeyServer, *names: str) -> list[int]:
    with server.client() as client:
        stats = client.info("commandstats")
    return [stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in names]


async def held(backend: RedisBackend, name: str, number: int) -> list[tuple[str, str]]:
    entries = [(f"{name}:{n}", f"value {n}") for n in range(number)]
    for key, value in entries:
        await backend.set(key, value, ttl=60)
    return entries


def lifetimes(server: ValkeyServer, entries: Sequence[tuple[str, str]]) -> list[int]:
    with server.client() as client:
        return [client.ttl(key) for key, _ in entries]


async def test_many_renewals_are_one_command(
    own: RedisBackend, valkey: ValkeyServer, name: str
) -> None:
    entries = await held(own, name, 256)
    assert await own.renew_many(entries, ttl=600) == [True] * 256
    before = calls(valkey, "evalsha", "eval", "get", "set")
    assert await own.renew_many(entries, ttl=600) == [True] * 256
    after = calls(valkey, "evalsha", "eval", "get", "set")
    # The script's own GETs and SETs are counted, too.
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 0, 256, 256]
    assert min(lifetimes(valkey, entries)) > 590


async def test_a_server_that_has_forgotten_the_script_renews_all_the_same(
    own: RedisBackend, valkey: ValkeyServer, name: str
) -> None:
    entries = await held(own, name, 3)
    assert await own.renew_many(entries, ttl=60) == [True] * 3
    with valkey.client() as client:
        client.script_flush()
    assert await own.renew_many(entries, ttl=600) == [True] * 3
    assert min(lifetimes(valkey, entries)) > 590


async def test_a_key_of_another_type_disturbs_no_other(
    own: RedisBackend, valkey: ValkeyServer, name: str
) -> None:
    entries = await held(own, name, 3)
    with valkey.client() as client:
        client.delete(f"{name}:1")
        client.rpush(f"{name}:1", "value 1")
    assert await own.renew_many(entries, ttl=600) == [True, False, True]
    with valkey.client() as client:
        assert client.lrange(f"{name}:1", 0, -1) == ["value 1"]


async def test_bytes_that_are_no_text_are_renewed_as_they_were_read(
    own: RedisBackend, valkey: ValkeyServer, name: str
) -> None:
    with valkey.client() as client:
        client.set(name, b"\xff\xfe", ex=60)
    value = await own.get(name)
    assert value is not None
    assert await own.renew_many([(name, value)], ttl=600) == [True]
    assert lifetimes(valkey, [(name, value)])[0] > 590


async def test_in_a_cluster_no_key_is_renewed_with_others(name: str) -> None:
    with ClusterSet(replicas=False) as cluster:
        client: Any = RedisCluster(
            startup_nodes=[ClusterNode("127.0.0.1", node.port) for node in cluster.nodes]
        )
        backend = RedisBackend(client=client)
        entries = await held(backend, name, 20)
        assert await backend.renew_many(entries, ttl=60) == [False] * 20
        assert all([await backend.compare_and_set(k, v, v, ttl=60) for k, v in entries])
        await backend.aclose()
        await client.aclose()
