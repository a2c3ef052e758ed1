"""Keys: what is written, and what a lost or late answer means."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import nats
import pytest

from resumable_stream.errors import (
    BackendError,
    BackendUnavailableError,
    OutcomeUnknownError,
)
from resumable_stream_nats import NatsBackend
from support.fault_proxy import FaultProxy
from support.nats_servers import BUCKET, STREAM, NatsCluster, NatsServer, reached
from support.servers import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from nats.aio.client import Client
    from nats.js.api import StreamInfo


async def all_writes(backend: NatsBackend, name: str) -> Sequence[object]:
    return await asyncio.gather(
        backend.set(name, "v", ttl=5),
        backend.create(name, "v", ttl=5),
        backend.delete(name),
        backend.publish(name, b"m"),
        return_exceptions=True,
    )


async def reads(backend: NatsBackend, name: str, value: str) -> bool:
    return await backend.get(name) == value


async def stream_of(client: Client) -> StreamInfo:
    return await client.jetstream().stream_info(STREAM)


async def written(backend: NatsBackend, name: str) -> None:
    """Write until it is there: a new connection may have to be made first."""
    deadline = time.monotonic() + 20
    while True:
        try:
            await backend.set(name, "v", ttl=60)
            return
        except BackendError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


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
    # Each mark stays for a second.
    assert time.monotonic() - began < 3


async def test_first_uses_make_one_bucket(nats_server: NatsServer) -> None:
    backends = [NatsBackend(nats_server.url) for _ in range(20)]
    made = await asyncio.gather(*(one.create("k", "v", ttl=60) for one in backends))
    assert made.count(True) == 1
    for one in backends:
        await one.aclose()


async def test_lost_reply_leaves_outcome_unknown(nats_server: NatsServer, name: str) -> None:
    async with FaultProxy(nats_server.port) as proxy:
        backend = NatsBackend(nats_server.url_at(proxy.port), timeout=1.5)
        direct = NatsBackend(nats_server.url)
        assert await backend.get(name) is None
        proxy.to_client.black_hole = True
        task = asyncio.create_task(backend.create(name, "mine", ttl=60))
        await reached(lambda: reads(direct, name, "mine"), "the write to be executed")
        proxy.cut()
        with pytest.raises(OutcomeUnknownError):
            await task
        proxy.to_client.black_hole = False
        assert await backend.get(name) == "mine"
        assert not await backend.create(name, "other", ttl=60)
        assert nats_server.ask(stream_of).state.last_seq == 1
        await backend.aclose()
        await direct.aclose()


async def test_write_into_an_outage_never_comes_later(nats_server: NatsServer, name: str) -> None:
    async with FaultProxy(nats_server.port) as proxy:
        backend = NatsBackend(nats_server.url_at(proxy.port), timeout=1)
        direct = NatsBackend(nats_server.url)
        await backend.set("ready", "v", ttl=60)
        proxy.to_server.black_hole = True
        outcomes = await all_writes(backend, name)
        assert {type(outcome) for outcome in outcomes} == {OutcomeUnknownError}
        proxy.to_server.black_hole = False
        proxy.cut()
        await written(backend, "after")
        # What was held back has gone with its connection.
        assert await direct.get(name) is None
        assert nats_server.ask(stream_of).state.last_seq == 2
        await backend.aclose()
        await direct.aclose()


async def test_silent_server_fails_in_time(
    own: NatsBackend, nats_server: NatsServer, name: str
) -> None:
    assert await own.get(name) is None
    nats_server.freeze()
    start = time.monotonic()
    outcomes = await all_writes(own, name)
    assert {type(outcome) for outcome in outcomes} == {OutcomeUnknownError}
    with pytest.raises(BackendUnavailableError):
        await own.get(name)
    assert time.monotonic() - start < 8
    nats_server.thaw()
    await written(own, name)
    assert await own.get(name) == "v"


async def test_absent_server_executes_nothing(
    own: NatsBackend, nats_server: NatsServer, name: str
) -> None:
    nats_server.kill()
    outcomes = [*await all_writes(own, name), *await all_writes(own, name)]
    assert {type(outcome) for outcome in outcomes} == {BackendUnavailableError}
    assert all(isinstance(one, Exception) and one.__cause__ is not None for one in outcomes)
    with pytest.raises(BackendUnavailableError):
        await own.get(name)
    nats_server.start()
    assert await own.create(name, "v", ttl=5)


@pytest.mark.parametrize("after", [1, 60, 300, 1500])
async def test_cut_inside_a_command_is_told(nats_server: NatsServer, name: str, after: int) -> None:
    async with FaultProxy(nats_server.port) as proxy:
        backend = NatsBackend(nats_server.url_at(proxy.port), timeout=1.5)
        await backend.get(name)
        proxy.to_server.cut_after = after
        writes = [backend.set(f"{name}:{number}", "x" * 1000, ttl=60) for number in range(5)]
        publishes = [backend.publish(name, b"x" * 1000) for _ in range(5)]
        results = await asyncio.gather(*writes, *publishes, return_exceptions=True)
        assert OutcomeUnknownError in map(type, results)
        assert set(map(type, results)) <= {OutcomeUnknownError, BackendUnavailableError, type(None)}
        proxy.to_server.cut_after = None
        await written(backend, name)
        await backend.aclose()


async def test_answers_split_anywhere_are_read(nats_server: NatsServer, name: str) -> None:
    async with FaultProxy(nats_server.port) as proxy:
        proxy.to_client.split = proxy.to_server.split = 3
        backend = NatsBackend(nats_server.url_at(proxy.port))
        await backend.set(name, "grüße 🙂", ttl=60)
        values = await asyncio.gather(*(backend.get(name) for _ in range(20)))
        assert values == ["grüße 🙂"] * 20
        await backend.aclose()


async def test_server_that_never_greets_fails_in_time(name: str) -> None:
    async with FaultProxy(1) as nobody:
        nobody.to_client.black_hole = True
        backend = NatsBackend(f"nats://u:secret@127.0.0.1:{nobody.port}", timeout=1)
        with pytest.raises(BackendUnavailableError) as caught:
            await backend.get(name)
        assert "secret" not in str(caught.value)
        await backend.aclose()


async def test_cancelled_write_disturbs_no_other(backend: NatsBackend, name: str) -> None:
    for turns in range(40):
        task = asyncio.create_task(backend.create(f"{name}:{turns}", "mine", ttl=60))
        for _ in range(turns % 10):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=2)
        assert done
        assert await backend.get(f"{name}:{turns}") in (None, "mine")
        await backend.set(name, str(turns), ttl=60)
        assert await backend.get(name) == str(turns)


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
            # While the bucket's stream has no leader yet, what it is asked goes unanswered.
            assert await asyncio.gather(*(backend.get("k") for backend in nodes)) == [None] * 3
            assert time.monotonic() - began < 4
            for backend in nodes:
                await backend.aclose()
