"""Commands to Redis: which ones are sent, and how long their connection lives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resumable_stream.errors import (
    BackendUnavailableError,
)
from resumable_stream_redis import RedisBackend
from support.fault_proxy import FaultProxy
from support.servers import ValkeyServer, eventually

if TYPE_CHECKING:
    from support.inbox import Inbox


def commands(server: ValkeyServer) -> dict[str, int]:
    with server.client() as client:
        stats = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in stats.items()}


async def test_each_operation_is_one_command(
    own: RedisBackend, valkey: ValkeyServer, name: str, inbox: Inbox
) -> None:
    assert await own.create(name, "1", ttl=60)
    assert not await own.compare_and_set(name, "2", "3", ttl=60)
    before = commands(valkey)
    assert await own.create(name + "x", "1", ttl=60)
    assert await own.compare_and_set(name, "1", "2", ttl=60)
    await own.set(name, "3", ttl=60)
    assert await own.get(name) == "3"
    await own.delete(name)
    await own.publish_many([(name, b"1"), (name, b"2")])
    after = commands(valkey)
    # The script's own GET and SET are counted too.
    expected = {"set": 3, "evalsha": 1, "get": 2, "del": 1, "publish": 2, "eval": 0}
    assert {key: after[key] - before.get(key, 0) for key in expected} == expected


async def test_script_is_loaded_again_after_restart(
    own: RedisBackend, valkey: ValkeyServer, name: str
) -> None:
    await own.set(name, "1", ttl=60)
    assert await own.compare_and_set(name, "1", "2", ttl=60)
    valkey.restart()
    with valkey.client() as client:
        client.set(name, "2")
    while True:
        try:
            assert await own.get(name) == "2"
            break
        except BackendUnavailableError:
            continue  # the old connection has ended
    assert await own.compare_and_set(name, "2", "3", ttl=60)


async def test_call_that_joins_a_failing_connect_has_its_own_time(
    valkey: ValkeyServer, name: str
) -> None:
    async with FaultProxy(valkey.port) as proxy:
        proxy.to_client.black_hole = True
        backend = RedisBackend(proxy.url, timeout=3)
        early = asyncio.create_task(backend.get(name))
        await asyncio.sleep(1.5)
        late = asyncio.create_task(backend.set(name, "late", ttl=60))
        with pytest.raises(BackendUnavailableError):
            await early
        proxy.to_client.black_hole = False
        await late
        assert await backend.get(name) == "late"
        await backend.aclose()


async def test_busy_pipe_keeps_its_callers(valkey: ValkeyServer, name: str) -> None:
    async with FaultProxy(valkey.port) as proxy:
        proxy.to_server.delay = 0.02
        backend = RedisBackend(proxy.url, timeout=2)
        message = b"x" * backend.max_message_size
        # 8 MiB in pieces of 64 KiB take more than two seconds: longer than the time-out.
        big = asyncio.create_task(backend.publish_many([(name, message)] * 16))
        await asyncio.sleep(0)
        assert await backend.get(name) is None
        await big
        await backend.aclose()


async def test_idle_connection_closes_itself(
    valkey: ValkeyServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resumable_stream_redis._pipe._LINGER", 0.1)
    backend = RedisBackend(valkey.url)
    await backend.set(name, "v", ttl=60)
    with valkey.client() as client:
        await eventually(lambda: len(client.client_list()) == 1, "the connection to close")
    assert len(asyncio.all_tasks()) == 1
    assert await backend.get(name) == "v"
    await backend.aclose()


async def test_connection_in_use_stays(
    valkey: ValkeyServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resumable_stream_redis._pipe._LINGER", 2.0)
    backend = RedisBackend(valkey.url)
    with valkey.client() as client:
        await backend.set(name, "v", ttl=60)
        (own,) = (entry["id"] for entry in client.client_list() if entry["cmd"] == "set")
        for _ in range(40):
            assert await backend.get(name) == "v"
            await asyncio.sleep(0.1)
        assert own in {entry["id"] for entry in client.client_list()}
    await backend.aclose()
