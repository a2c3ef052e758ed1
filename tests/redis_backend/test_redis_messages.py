"""Subscriptions: one connection, confirmed, watched, restored, and never silently deaf."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from resumable_stream.errors import BackendUnavailableError
from resumable_stream.ports import Loss
from resumable_stream_redis import RedisBackend
from support.fault_proxy import FaultProxy
from support.inbox import Inbox
from support.servers import ValkeyServer, eventually

if TYPE_CHECKING:
    import redis

INTERVAL = "resumable_stream_redis._hub.PING_INTERVAL"


def subscribers(client: redis.Redis) -> list[dict[str, str]]:
    return [entry for entry in client.client_list() if int(entry["sub"])]


async def test_message_right_after_subscribe_arrives(
    redis_url: str, backend: RedisBackend, name: str
) -> None:
    other = RedisBackend(redis_url)
    for number in range(200):
        inbox = Inbox()
        subscription = await inbox.subscribe(backend, f"{name}:{number}")
        await other.publish(f"{name}:{number}", b"x")
        await inbox.received(b"x")
        await subscription.aclose()
    await other.aclose()


async def test_thousand_subscriptions_share_one_connection(
    own: RedisBackend, valkey: ValkeyServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(INTERVAL, 0.5)
    inboxes = [Inbox() for _ in range(1000)]
    subscriptions = await asyncio.gather(
        *(inbox.subscribe(own, f"{name}:{number}") for number, inbox in enumerate(inboxes))
    )
    with valkey.client() as client:
        (connection,) = subscribers(client)
        assert connection["sub"] == "1000"
        await own.publish_many([(f"{name}:{number}", b"%d" % number) for number in range(1000)])
        for number, inbox in enumerate(inboxes):
            await inbox.received(b"%d" % number)
        for subscription in subscriptions:
            await subscription.aclose()
        await eventually(lambda: not subscribers(client), "the channels to be left")
        await eventually(lambda: len(client.client_list()) == 2, "the connection to close")


async def test_all_channels_return_after_restart(
    own: RedisBackend, valkey: ValkeyServer, name: str
) -> None:
    inboxes = [Inbox() for _ in range(600)]
    for number, inbox in enumerate(inboxes):
        await inbox.subscribe(own, f"{name}:{number}")
    valkey.restart()
    for number, inbox in enumerate(inboxes):
        await inbox.lost()
        assert inbox.losses == [Loss.RECONNECTED]
        assert await own.get(f"{name}:{number}") is None
        await own.publish(f"{name}:{number}", b"after")
        await inbox.received(b"after")


async def test_one_channel_serves_many_owners(backend: RedisBackend, name: str) -> None:
    first, second = Inbox(), Inbox()
    one = await first.subscribe(backend, name)
    await second.subscribe(backend, name)
    await backend.publish(name, b"1")
    await first.received(b"1")
    await second.received(b"1")
    await one.aclose()
    await one.aclose()
    await backend.publish(name, b"2")
    await second.received(b"1", b"2")
    assert first.messages == [b"1"]


async def test_frozen_server_is_noticed(
    own: RedisBackend, valkey: ValkeyServer, name: str, inbox: Inbox
) -> None:
    async with FaultProxy(valkey.port) as proxy:
        backend = RedisBackend(proxy.url, timeout=1.5)
        await inbox.subscribe(backend, name)
        valkey.freeze()
        start = time.monotonic()
        await eventually(lambda: proxy.accepted > 1, "another connection to be tried")
        assert 3 < time.monotonic() - start < 11
        valkey.thaw()
        await inbox.lost()
        await own.publish(name, b"after")
        await inbox.received(b"after")
        await backend.aclose()


async def test_half_open_connection_is_replaced(
    own: RedisBackend,
    valkey: ValkeyServer,
    name: str,
    inbox: Inbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(INTERVAL, 0.5)
    async with FaultProxy(valkey.port) as proxy:
        backend = RedisBackend(proxy.url, timeout=1)
        await inbox.subscribe(backend, name)
        proxy.to_client.black_hole = True
        await own.publish(name, b"lost")
        await eventually(lambda: proxy.accepted > 1, "another connection to be tried")
        proxy.to_client.black_hole = False
        await inbox.lost()
        await own.publish(name, b"after")
        await inbox.received(b"after")
        await backend.aclose()


async def test_cut_connection_is_replaced_at_once(
    own: RedisBackend, valkey: ValkeyServer, name: str, inbox: Inbox
) -> None:
    async with FaultProxy(valkey.port) as proxy:
        backend = RedisBackend(proxy.url)
        await inbox.subscribe(backend, name)
        for times in range(1, 11):
            proxy.cut()
            await inbox.lost(times)
            await own.publish(name, b"%d" % times)
            await inbox.received(*(b"%d" % number for number in range(1, times + 1)))
        assert set(inbox.losses) == {Loss.RECONNECTED}
        await backend.aclose()


async def test_reader_cut_off_by_server_learns_it(name: str) -> None:
    limit = ("--client-output-buffer-limit", "pubsub 1mb 1mb 1")
    with ValkeyServer(*limit) as server:
        async with FaultProxy(server.port) as proxy:
            backend, writer, inbox = RedisBackend(proxy.url), RedisBackend(server.url), Inbox()
            await inbox.subscribe(backend, name)
            proxy.to_client.delay = 0.5
            await writer.publish_many([(name, b"x" * 500_000)] * 60)
            with server.client() as client:
                await eventually(lambda: not subscribers(client), "the server to cut it off")
            proxy.to_client.delay = 0
            await inbox.lost()
            assert len(inbox.messages) < 60
            seen = len(inbox.messages)
            await writer.publish(name, b"after")
            await eventually(lambda: len(inbox.messages) > seen, "the message after the loss")
            await backend.aclose()
            await writer.aclose()


async def test_unconfirmed_subscription_is_given_up(valkey: ValkeyServer, name: str) -> None:
    inbox = Inbox()
    backend = RedisBackend(valkey.url, timeout=1)
    await inbox.subscribe(backend, name)
    valkey.freeze()
    with pytest.raises(BackendUnavailableError):
        await inbox.subscribe(backend, name + "late")
    valkey.thaw()
    with valkey.client() as client:
        await eventually(
            lambda: client.pubsub_channels() == [name], "only the confirmed channel to be left"
        )
    await backend.aclose()


async def test_absent_server_refuses_subscription(
    valkey: ValkeyServer, name: str, inbox: Inbox
) -> None:
    valkey.kill()
    backend = RedisBackend(valkey.url, timeout=1)
    with pytest.raises(BackendUnavailableError) as caught:
        await inbox.subscribe(backend, name)
    assert caught.value.__cause__ is not None
    await eventually(lambda: len(asyncio.all_tasks()) == 1, "the task to end")
    valkey.start()
    await inbox.subscribe(backend, name)
    assert inbox.losses == []
    await backend.aclose()


async def test_subscription_outlasts_a_short_outage(
    own: RedisBackend, valkey: ValkeyServer, name: str, inbox: Inbox
) -> None:
    valkey.kill()
    task = asyncio.create_task(inbox.subscribe(own, name))
    await asyncio.sleep(0.1)
    valkey.start()
    await task
    assert inbox.losses == []


async def test_unsubscribing_waits_for_nobody(
    own: RedisBackend, valkey: ValkeyServer, name: str, inbox: Inbox
) -> None:
    subscription = await inbox.subscribe(own, name)
    valkey.freeze()
    start = time.monotonic()
    await subscription.aclose()
    assert time.monotonic() - start < 1


async def test_rejoined_channel_is_confirmed_anew(
    own: RedisBackend, valkey: ValkeyServer, name: str
) -> None:
    for _ in range(100):
        early = asyncio.create_task(Inbox().subscribe(own, name))
        await asyncio.sleep(0)
        early.cancel()
        await asyncio.wait([early])
        inbox = Inbox()
        subscription = await inbox.subscribe(own, name)
        with valkey.client() as client:
            assert client.publish(name, b"x") == 1
        await inbox.received(b"x")
        await subscription.aclose()


async def test_cancelled_subscribe_leaves_nothing(
    own: RedisBackend, valkey: ValkeyServer, name: str
) -> None:
    for turns in range(30):
        task = asyncio.create_task(Inbox().subscribe(own, f"{name}:{turns}"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            await task.result().aclose()
    with valkey.client() as client:
        await eventually(lambda: not client.pubsub_channels(), "every channel to be left")


async def test_flood_leaves_others_their_turn(
    own: RedisBackend, valkey: ValkeyServer, name: str, inbox: Inbox
) -> None:
    await inbox.subscribe(own, name)
    writer = RedisBackend(valkey.url)
    flood = asyncio.create_task(writer.publish_many([(name, b"x" * 1000)] * 20_000))
    longest, last = 0.0, time.monotonic()
    while len(inbox.messages) < 20_000:
        await asyncio.sleep(0)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    await flood
    assert longest < 1
    await writer.aclose()


async def test_failing_handler_disturbs_no_other(
    backend: RedisBackend, name: str, inbox: Inbox
) -> None:
    def fail(message: bytes) -> None:
        raise RuntimeError(message)

    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    await backend.subscribe(name, fail, inbox.losses.append)
    await inbox.subscribe(backend, name)
    await backend.publish(name, b"1")
    await inbox.received(b"1")
    assert isinstance(reported[0]["exception"], RuntimeError)
