"""Subscriptions on every broker: confirmed, in order, over one connection, nothing left behind."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from resumable_stream import find_opener
from resumable_stream.errors import BackendUnavailableError, MessageTooLargeError
from support.inbox import Inbox
from support.servers import eventually

if TYPE_CHECKING:
    from resumable_stream.ports import Backend
    from support.brokers import Broker


async def test_message_right_after_subscribe_arrives(url: str, backend: Backend, name: str) -> None:
    other = find_opener(url)(url)
    for number in range(300):
        inbox = Inbox()
        subscription = await inbox.subscribe(backend, f"{name}:{number}")
        await other.publish(f"{name}:{number}", b"x")
        await inbox.received(b"x")
        await subscription.aclose()
    await other.aclose()


async def test_thousand_subscriptions_share_one_connection(
    own: Backend, broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The Redis backend closes its connection for subscriptions at the next check that finds none.
    monkeypatch.setattr(broker.ping_interval, 0.5)
    inboxes = [Inbox() for _ in range(1000)]
    subscriptions = await asyncio.gather(
        *(inbox.subscribe(own, f"{name}:{number}") for number, inbox in enumerate(inboxes))
    )
    assert broker.connected() == 1
    assert len(broker.channels()) == 1000
    await own.publish_many([(f"{name}:{number}", b"%d" % number) for number in range(1000)])
    for number, inbox in enumerate(inboxes):
        await inbox.received(b"%d" % number)
    for subscription in subscriptions:
        await subscription.aclose()
    await eventually(lambda: not broker.channels(), "the channels to be left")
    await eventually(lambda: broker.connected() == 1, "the connection to close")
    # The remaining tasks belong to the one connection: they read, write, ping and watch it.
    await eventually(lambda: len(asyncio.all_tasks()) <= 5, "the subscriptions' tasks to end")


async def test_one_channel_serves_many_owners(own: Backend, broker: Broker, name: str) -> None:
    first, second = Inbox(), Inbox()
    one = await first.subscribe(own, name)
    await second.subscribe(own, name)
    assert broker.channels() == [broker.named(name)]
    await own.publish(name, b"1")
    await first.received(b"1")
    await second.received(b"1")
    await one.aclose()
    await one.aclose()
    await own.publish(name, b"2")
    await second.received(b"1", b"2")
    assert first.messages == [b"1"]


async def test_unsubscribing_waits_for_nobody(
    own: Backend, broker: Broker, name: str, inbox: Inbox
) -> None:
    subscription = await inbox.subscribe(own, name)
    broker.freeze()
    start = time.monotonic()
    await subscription.aclose()
    assert time.monotonic() - start < 1
    broker.thaw()
    await eventually(lambda: not broker.channels(), "the channel to be left")


async def test_rejoined_channel_is_confirmed_again(own: Backend, broker: Broker, name: str) -> None:
    other = broker.open()
    for _ in range(100):
        early = asyncio.create_task(Inbox().subscribe(own, name))
        await asyncio.sleep(0)
        early.cancel()
        await asyncio.wait([early])
        inbox = Inbox()
        subscription = await inbox.subscribe(own, name)
        assert broker.channels() == [broker.named(name)]
        await other.publish(name, b"x")
        await inbox.received(b"x")
        await subscription.aclose()
    await other.aclose()


async def test_cancelled_subscribe_leaves_nothing(own: Backend, broker: Broker, name: str) -> None:
    for turns in range(40):
        task = asyncio.create_task(Inbox().subscribe(own, f"{name}:{turns}"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            await task.result().aclose()
    await eventually(lambda: not broker.channels(), "every channel to be left")


async def test_concurrent_publishes_keep_call_order(
    backend: Backend, name: str, inbox: Inbox
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


async def test_flood_leaves_others_their_turn(
    own: Backend, broker: Broker, name: str, inbox: Inbox
) -> None:
    await inbox.subscribe(own, name)
    writer = broker.open()
    flood = asyncio.create_task(writer.publish_many([(name, b"x" * 1000)] * 20_000))
    longest, last = 0.0, time.monotonic()
    while len(inbox.messages) < 20_000:
        await asyncio.sleep(0)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    await flood
    assert longest < 1
    await writer.aclose()


async def test_failing_handler_disturbs_no_other(backend: Backend, name: str, inbox: Inbox) -> None:
    def fail(message: bytes) -> None:
        raise RuntimeError(message)

    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    await backend.subscribe(name, fail, inbox.losses.append)
    await inbox.subscribe(backend, name)
    await backend.publish(name, b"1")
    await inbox.received(b"1")
    assert isinstance(reported[0]["exception"], RuntimeError)


async def test_oversized_message_sends_nothing(backend: Backend, name: str, inbox: Inbox) -> None:
    await inbox.subscribe(backend, name)
    limit = backend.max_message_size
    with pytest.raises(MessageTooLargeError):
        await backend.publish_many([(name, b"a"), (name, b"x" * (limit + 1))])
    await backend.publish(name, b"y" * limit)
    await inbox.received(b"y" * limit)


async def test_unconfirmed_subscription_is_given_up(broker: Broker, name: str) -> None:
    inbox = Inbox()
    backend = broker.open(timeout=1)
    await inbox.subscribe(backend, name)
    broker.freeze()
    with pytest.raises(BackendUnavailableError):
        await inbox.subscribe(backend, name + "late")
    broker.thaw()
    await eventually(
        lambda: broker.channels() == [broker.named(name)], "only the confirmed channel to be left"
    )
    await backend.aclose()


async def test_absent_server_refuses_subscription(broker: Broker, name: str, inbox: Inbox) -> None:
    broker.kill()
    backend = broker.open(timeout=1)
    with pytest.raises(BackendUnavailableError) as caught:
        await inbox.subscribe(backend, name)
    assert caught.value.__cause__ is not None
    await eventually(lambda: len(asyncio.all_tasks()) == 1, "the task to end")
    broker.start()
    await inbox.subscribe(backend, name)
    assert inbox.losses == []
    await backend.aclose()


async def test_subscription_outlasts_a_short_outage(
    own: Backend, broker: Broker, name: str, inbox: Inbox
) -> None:
    broker.kill()
    task = asyncio.create_task(inbox.subscribe(own, name))
    await asyncio.sleep(0.1)
    broker.start()
    await task
    assert inbox.losses == []
