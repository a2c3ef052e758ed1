"""Keys on NATS: how their bucket is made, used, lost and made again."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import nats
import pytest

from resumable_stream_nats import NatsBackend
from support.calls import written
from support.nats_servers import BUCKET, STREAM, NatsCluster, NatsServer, reached
from support.servers import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nats.aio.client import Client
    from nats.js.api import StreamInfo


async def stream_of(client: Client) -> StreamInfo:
    return await client.jetstream().stream_info(STREAM)


@pytest.fixture
async def kept() -> AsyncIterator[NatsServer]:
    """A server that keeps its files over a restart."""
    with NatsServer(remembers=True) as server:
        yield server


async def test_bucket_is_made_as_documented(own: NatsBackend, nats_server: NatsServer) -> None:
    assert await own.get("k") is None
    config = nats_server.ask(stream_of).config
    assert (config.name, config.subjects) == (STREAM, [f"$KV.{BUCKET}.>"])
    assert config.allow_msg_ttl
    assert (config.storage, config.num_replicas) == ("memory", 1)
    assert (config.max_msgs_per_subject, config.max_age) == (1, 0)


async def test_bucket_settings_are_obeyed(nats_server: NatsServer) -> None:
    backend = NatsBackend(nats_server.address, bucket="mine")
    await backend.set("k", "v", ttl=60)
    found = nats_server.ask(lambda client: client.jetstream().key_value("mine"))
    assert found is not None
    config = nats_server.ask(lambda client: client.jetstream().stream_info("KV_mine")).config
    assert config.storage == "file"
    await backend.aclose()


async def test_operators_bucket_is_used_as_it_is(nats_server: NatsServer) -> None:
    nats_server.create_bucket(description="the operator's", max_age=3600)
    backend = NatsBackend(nats_server.url)
    assert await backend.create("k", "v", ttl=3600)
    assert nats_server.ask(stream_of).config.description == "the operator's"
    await backend.aclose()


async def test_every_write_has_its_time_to_live(own: NatsBackend, nats_server: NatsServer) -> None:
    await own.set("a", "1", ttl=60)
    await own.create("b", "1", ttl=61)
    await own.compare_and_set("b", "1", "2", ttl=62)
    await own.create("c", "1", ttl=63)
    await own.delete("c")
    assert sorted(headers["Nats-TTL"] for headers in nats_server.headers()) == ["1", "60", "62"]


async def test_deleted_key_leaves_no_mark(own: NatsBackend, nats_server: NatsServer) -> None:
    await own.set("a", "1", ttl=60)
    await own.delete("a")
    await own.delete("never")
    await eventually(lambda: nats_server.headers() == [], "the marks to go", 10)


async def test_deleted_key_is_free_at_once(own: NatsBackend, name: str) -> None:
    began = time.monotonic()
    for turn in range(5):
        assert await own.create(name, str(turn), ttl=60)
        await own.delete(name)
    # The mark of each deletion stays for a second.
    assert time.monotonic() - began < 3


async def test_first_uses_make_one_bucket(nats_server: NatsServer) -> None:
    backends = [NatsBackend(nats_server.url) for _ in range(20)]
    made = await asyncio.gather(*(one.create("k", "v", ttl=60) for one in backends))
    assert made.count(True) == 1
    for one in backends:
        await one.aclose()


async def test_bucket_lost_with_memory_is_made_again(
    own: NatsBackend, nats_server: NatsServer, name: str
) -> None:
    await own.set(name, "before", ttl=60)
    nats_server.restart()
    await written(own, name + "x")
    assert await own.get(name) is None
    assert await own.create(name, "after", ttl=60)


async def test_deleted_bucket_is_made_again(
    own: NatsBackend, nats_server: NatsServer, name: str
) -> None:
    for use in (own.get, own.delete):
        await own.set(name, "before", ttl=60)
        nats_server.ask(lambda client: client.jetstream().delete_stream(STREAM))
        await use(name)
        assert await own.get(name) is None
    nats_server.ask(lambda client: client.jetstream().delete_stream(STREAM))
    assert not await own.compare_and_set(name, "before", "after", ttl=60)
    assert await own.create(name, "after", ttl=60)


async def test_files_survive_a_restart(kept: NatsServer, name: str) -> None:
    backend = NatsBackend(f"{kept.address}?storage=file")
    await backend.set(name, "before", ttl=60)
    await backend.set(name + "short", "v", ttl=2)
    kept.kill()
    await asyncio.sleep(2.5)  # a time to live runs on while the server is away
    kept.start()
    await written(backend, name + "x")
    assert await backend.get(name) == "before"
    assert not await backend.create(name, "after", ttl=60)
    await reached(lambda: backend.create(name + "short", "again", ttl=60), "the key to expire", 10)
    await backend.aclose()


async def test_other_tools_see_plain_keys(own: NatsBackend, nats_server: NatsServer) -> None:
    await own.set("resumable-stream:rs:sentinel:a b", "1", ttl=60)
    client = await nats.connect(nats_server.address)
    bucket = await client.jetstream().key_value(BUCKET)
    assert await bucket.keys() == ["resumable-stream.rs.sentinel.a=20b"]
    await client.close()


async def test_bucket_made_through_one_node_is_read_through_all() -> None:
    with NatsCluster() as cluster:
        for bucket in ("one", "other"):
            nodes = [NatsBackend(cluster.url_from(number), bucket=bucket) for number in range(3)]
            began = time.monotonic()
            # Until the bucket's stream has a leader, requests to it get no answer.
            assert await asyncio.gather(*(backend.get("k") for backend in nodes)) == [None] * 3
            assert time.monotonic() - began < 4
            for backend in nodes:
                await backend.aclose()
