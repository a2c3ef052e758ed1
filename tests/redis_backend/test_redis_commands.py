"""Commands: what is sent, in which order, and what a lost or late reply means."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from resumable_stream.errors import (
    BackendUnavailableError,
    MessageTooLargeError,
    OutcomeUnknownError,
)
from resumable_stream_redis import RedisBackend
from support.fault_proxy import FaultProxy
from support.servers import ValkeyServer, eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from support.inbox import Inbox


def commands(server: ValkeyServer) -> dict[str, int]:
    with server.client() as client:
        stats = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in stats.items()}


async def all_writes(backend: RedisBackend, name: str) -> Sequence[object]:
    return await asyncio.gather(
        backend.set(name, "v", ttl=5),
        backend.create(name, "v", ttl=5),
        backend.compare_and_set(name, "v", "w", ttl=5),
        backend.delete(name),
        backend.publish(name, b"m"),
        return_exceptions=True,
    )


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
            continue  # the old connection's end
    assert await own.compare_and_set(name, "2", "3", ttl=60)


async def test_concurrent_publishes_keep_call_order(
    backend: RedisBackend, name: str, inbox: Inbox
) -> None:
    await inbox.subscribe(backend, name)
    expected = [b"%d" % number for number in range(3000)]
    calls = []
    for start in range(0, 3000, 3):
        calls.append(backend.publish(name, expected[start]))
        rest = expected[start + 1 : start + 3]
        calls.append(backend.publish_many([(name, message) for message in rest]))
    await asyncio.gather(*calls)
    await inbox.received(*expected)


async def test_cancelled_reply_is_never_anothers(backend: RedisBackend, name: str) -> None:
    await backend.set(name, "right", ttl=60)
    await backend.set(name + "wrong", "wrong", ttl=60)
    for turns in range(40):
        task = asyncio.create_task(backend.get(name + "wrong"))
        for _ in range(turns % 8):
            await asyncio.sleep(0)
        task.cancel()
        assert await backend.get(name) == "right"
        await asyncio.wait([task])


async def test_lost_reply_leaves_outcome_unknown(valkey: ValkeyServer, name: str) -> None:
    async with FaultProxy(valkey.port) as proxy:
        backend = RedisBackend(proxy.url, timeout=1.5)
        assert await backend.get(name) is None
        proxy.to_client.black_hole = True
        task = asyncio.create_task(backend.create(name, "mine", ttl=60))
        with valkey.client() as client:
            await eventually(lambda: client.get(name) == "mine", "the write to be executed")
        proxy.cut()
        with pytest.raises(OutcomeUnknownError):
            await task
        proxy.to_client.black_hole = False
        assert await backend.get(name) == "mine"
        assert not await backend.create(name, "other", ttl=60)
        assert commands(valkey)["set"] == 2
        await backend.aclose()


async def test_silent_server_fails_in_time(
    own: RedisBackend, valkey: ValkeyServer, name: str
) -> None:
    assert await own.get(name) is None
    valkey.freeze()
    start = time.monotonic()
    outcomes = await all_writes(own, name)
    assert [type(outcome) for outcome in outcomes] == [OutcomeUnknownError] * 5
    with pytest.raises(BackendUnavailableError):
        await own.get(name)
    assert time.monotonic() - start < 8
    valkey.thaw()
    await own.set(name, "after", ttl=60)
    assert await own.get(name) == "after"


async def test_absent_server_executes_nothing(
    own: RedisBackend, valkey: ValkeyServer, name: str
) -> None:
    valkey.kill()
    outcomes = [*await all_writes(own, name), *await all_writes(own, name)]
    assert {type(outcome) for outcome in outcomes} == {BackendUnavailableError}
    assert all(isinstance(one, Exception) and one.__cause__ is not None for one in outcomes)
    with pytest.raises(BackendUnavailableError):
        await own.get(name)
    valkey.start()
    assert await own.create(name, "v", ttl=5)


async def test_server_that_never_greets_fails_in_time(name: str) -> None:
    async with FaultProxy(1) as nobody:
        nobody.to_client.black_hole = True
        backend = RedisBackend(f"redis://:secret@127.0.0.1:{nobody.port}", timeout=1)
        with pytest.raises(BackendUnavailableError) as caught:
            await backend.get(name)
        assert "secret" not in str(caught.value)
        await backend.aclose()


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


@pytest.mark.parametrize("after", [1, 20, 300, 5000])
async def test_cut_inside_a_command_is_told(valkey: ValkeyServer, name: str, after: int) -> None:
    async with FaultProxy(valkey.port) as proxy:
        backend = RedisBackend(proxy.url, timeout=1.5)
        await backend.get(name)
        proxy.to_server.cut_after = after
        outcomes: list[Awaitable[None]] = [backend.publish(name, b"x" * 1000) for _ in range(10)]
        results = await asyncio.gather(*outcomes, return_exceptions=True)
        assert OutcomeUnknownError in map(type, results)
        assert set(map(type, results)) <= {OutcomeUnknownError, BackendUnavailableError, type(None)}
        proxy.to_server.cut_after = None
        await backend.publish(name, b"after")
        await backend.aclose()


async def test_replies_split_anywhere_are_read(valkey: ValkeyServer, name: str) -> None:
    async with FaultProxy(valkey.port) as proxy:
        proxy.to_client.split = proxy.to_server.split = 1
        backend = RedisBackend(proxy.url)
        await backend.set(name, "grüße 🙂", ttl=60)
        values = await asyncio.gather(*(backend.get(name) for _ in range(20)))
        assert values == ["grüße 🙂"] * 20
        await backend.aclose()


async def test_busy_pipe_keeps_its_callers(valkey: ValkeyServer, name: str) -> None:
    async with FaultProxy(valkey.port) as proxy:
        proxy.to_server.delay = 0.02
        backend = RedisBackend(proxy.url, timeout=1)
        message = b"x" * backend.max_message_size
        # 8 MiB in pieces of 64 KiB take more than two seconds: longer than the time-out.
        big = asyncio.create_task(backend.publish_many([(name, message)] * 16))
        await asyncio.sleep(0)
        assert await backend.get(name) is None
        await big
        await backend.aclose()


async def test_oversized_message_sends_nothing(
    backend: RedisBackend, name: str, inbox: Inbox
) -> None:
    await inbox.subscribe(backend, name)
    limit = backend.max_message_size
    with pytest.raises(MessageTooLargeError):
        await backend.publish_many([(name, b"a"), (name, b"x" * (limit + 1))])
    await backend.publish(name, b"y" * limit)
    await inbox.received(b"y" * limit)


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
