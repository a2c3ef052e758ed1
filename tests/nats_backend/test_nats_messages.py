"""Subscriptions: one connection, confirmed, watched, restored, and never silently deaf."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING

import nats
import pytest

from resumable_stream.errors import BackendUnavailableError, OutcomeUnknownError
from resumable_stream.ports import Loss
from resumable_stream_nats import NatsBackend
from resumable_stream_nats._names import subject_of
from support.fault_proxy import FaultProxy
from support.inbox import Inbox
from support.servers import eventually

if TYPE_CHECKING:
    from support.nats_servers import NatsServer

INTERVAL = "resumable_stream_nats._link.PING_INTERVAL"


async def test_message_right_after_subscribe_arrives(
    nats_url: str, backend: NatsBackend, name: str
) -> None:
    other = NatsBackend(nats_url)
    for number in range(300):
        inbox = Inbox()
        subscription = await inbox.subscribe(backend, f"{name}:{number}")
        await other.publish(f"{name}:{number}", b"x")
        await inbox.received(b"x")
        await subscription.aclose()
    await other.aclose()


async def test_thousand_subscriptions_share_one_connection(
    own: NatsBackend, nats_server: NatsServer, name: str
) -> None:
    inboxes = [Inbox() for _ in range(1000)]
    subscriptions = await asyncio.gather(
        *(inbox.subscribe(own, f"{name}:{number}") for number, inbox in enumerate(inboxes))
    )
    (connection,) = nats_server.connections()
    assert connection["subscriptions"] == 1000
    await own.publish_many([(f"{name}:{number}", b"%d" % number) for number in range(1000)])
    for number, inbox in enumerate(inboxes):
        await inbox.received(b"%d" % number)
    for subscription in subscriptions:
        await subscription.aclose()
    await eventually(lambda: not nats_server.subjects(), "the subjects to be left")
    # What is left belongs to the one connection: it reads, writes, pings, and is watched.
    await eventually(lambda: len(asyncio.all_tasks()) <= 5, "the subscriptions' tasks to end")


async def test_channels_that_come_and_go_leave_nothing_in_the_client(
    own: NatsBackend, name: str
) -> None:
    async def come_and_go(times: int) -> int:
        for _ in range(times):
            await (await Inbox().subscribe(own, name)).aclose()
            await own.publish(name, b"x")
        gc.collect()
        return len(gc.get_objects())

    before = await come_and_go(20)
    # A thousandth of what one object for each would be is still some noise.
    assert await come_and_go(1000) - before < 500


async def test_all_channels_return_after_restart(
    own: NatsBackend, nats_server: NatsServer, name: str
) -> None:
    inboxes = [Inbox() for _ in range(600)]
    for number, inbox in enumerate(inboxes):
        await inbox.subscribe(own, f"{name}:{number}")
    nats_server.restart()
    for number, inbox in enumerate(inboxes):
        await inbox.lost()
        assert inbox.losses == [Loss.RECONNECTED]
        await own.publish(f"{name}:{number}", b"after")
        await inbox.received(b"after")
    assert await own.get(name) is None


async def test_one_channel_serves_many_owners(
    own: NatsBackend, nats_server: NatsServer, name: str
) -> None:
    first, second = Inbox(), Inbox()
    one = await first.subscribe(own, name)
    await second.subscribe(own, name)
    assert nats_server.subjects() == [subject_of(name)]
    await own.publish(name, b"1")
    await first.received(b"1")
    await second.received(b"1")
    await one.aclose()
    await one.aclose()
    await own.publish(name, b"2")
    await second.received(b"1", b"2")
    assert first.messages == [b"1"]


async def test_frozen_server_is_noticed(
    own: NatsBackend, nats_server: NatsServer, name: str, inbox: Inbox
) -> None:
    async with FaultProxy(nats_server.port) as proxy:
        backend = NatsBackend(nats_server.url_at(proxy.port), timeout=1.5)
        await inbox.subscribe(backend, name)
        nats_server.freeze()
        start = time.monotonic()
        await eventually(lambda: proxy.accepted > 1, "another connection to be tried")
        assert 3 < time.monotonic() - start < 11
        nats_server.thaw()
        await inbox.lost()
        await own.publish(name, b"after")
        await inbox.received(b"after")
        await backend.aclose()


async def test_half_open_connection_is_replaced(
    own: NatsBackend,
    nats_server: NatsServer,
    name: str,
    inbox: Inbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(INTERVAL, 0.5)
    async with FaultProxy(nats_server.port) as proxy:
        backend = NatsBackend(nats_server.url_at(proxy.port), timeout=1)
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
    own: NatsBackend, nats_server: NatsServer, name: str, inbox: Inbox
) -> None:
    async with FaultProxy(nats_server.port) as proxy:
        backend = NatsBackend(nats_server.url_at(proxy.port))
        await inbox.subscribe(backend, name)
        for times in range(1, 11):
            proxy.cut()
            await inbox.lost(times)
            await own.publish(name, b"%d" % times)
            await inbox.received(*(b"%d" % number for number in range(1, times + 1)))
        assert set(inbox.losses) == {Loss.RECONNECTED}
        await backend.aclose()
        await eventually(lambda: len(nats_server.connections()) == 1, "the connections to go")


async def test_reader_cut_off_by_server_learns_it(name: str) -> None:
    from support.nats_servers import NatsServer  # noqa: PLC0415

    with NatsServer('max_pending: 1MB, write_deadline: "1s"') as server:
        async with FaultProxy(server.port) as proxy:
            backend, writer, inbox = (
                NatsBackend(server.url_at(proxy.port)),
                NatsBackend(server.url),
                Inbox(),
            )
            await inbox.subscribe(backend, name)
            proxy.to_client.delay = 0.5
            await writer.publish_many([(name, b"x" * 500_000)] * 60)
            await eventually(lambda: server.look("varz")["slow_consumers"] > 0, "the cut")
            proxy.to_client.delay = 0
            await inbox.lost()
            assert len(inbox.messages) < 60
            seen = len(inbox.messages)
            await writer.publish(name, b"after")
            await eventually(lambda: len(inbox.messages) > seen, "the message after the loss")
            await backend.aclose()
            await writer.aclose()


async def test_overflow_in_the_client_is_told(
    own: NatsBackend, name: str, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resumable_stream_nats._hub.MAX_PENDING_MESSAGES", 10)
    await inbox.subscribe(own, name)
    sent = [b"%d" % number for number in range(1000)]
    await own.publish_many([(name, message) for message in sent])
    await inbox.lost()
    assert set(inbox.losses) == {Loss.OVERFLOW}
    assert inbox.messages[:10] == sent[:10]
    numbers = [int(message) for message in inbox.messages]
    assert numbers == sorted(set(numbers))
    assert len(numbers) < len(sent)
    known = len(inbox.losses)
    await own.publish(name, b"1000")
    await eventually(lambda: inbox.messages[-1] == b"1000", "the message after the loss")
    assert len(inbox.losses) == known


async def test_unconfirmed_subscription_is_given_up(nats_server: NatsServer, name: str) -> None:
    inbox = Inbox()
    backend = NatsBackend(nats_server.url, timeout=1)
    await inbox.subscribe(backend, name)
    nats_server.freeze()
    with pytest.raises(BackendUnavailableError):
        await inbox.subscribe(backend, name + "late")
    nats_server.thaw()
    await eventually(
        lambda: nats_server.subjects() == [subject_of(name)], "only the confirmed one to be left"
    )
    await backend.aclose()


async def test_absent_server_refuses_subscription(
    nats_server: NatsServer, name: str, inbox: Inbox
) -> None:
    nats_server.kill()
    backend = NatsBackend(nats_server.url, timeout=1)
    with pytest.raises(BackendUnavailableError) as caught:
        await inbox.subscribe(backend, name)
    assert caught.value.__cause__ is not None
    await eventually(lambda: len(asyncio.all_tasks()) == 1, "the task to end")
    nats_server.start()
    await inbox.subscribe(backend, name)
    assert inbox.losses == []
    await backend.aclose()


async def test_subscription_outlasts_a_short_outage(
    own: NatsBackend, nats_server: NatsServer, name: str, inbox: Inbox
) -> None:
    nats_server.kill()
    task = asyncio.create_task(inbox.subscribe(own, name))
    await asyncio.sleep(0.1)
    nats_server.start()
    await task
    assert inbox.losses == []


async def test_unsubscribing_waits_for_nobody(
    own: NatsBackend, nats_server: NatsServer, name: str, inbox: Inbox
) -> None:
    subscription = await inbox.subscribe(own, name)
    nats_server.freeze()
    start = time.monotonic()
    await subscription.aclose()
    assert time.monotonic() - start < 1
    nats_server.thaw()
    await eventually(lambda: not nats_server.subjects(), "the subject to be left")


async def test_rejoined_channel_is_confirmed_anew(
    own: NatsBackend, nats_url: str, nats_server: NatsServer, name: str
) -> None:
    other = NatsBackend(nats_server.url)
    for _ in range(100):
        early = asyncio.create_task(Inbox().subscribe(own, name))
        await asyncio.sleep(0)
        early.cancel()
        await asyncio.wait([early])
        inbox = Inbox()
        subscription = await inbox.subscribe(own, name)
        await other.publish(name, b"x")
        await inbox.received(b"x")
        await subscription.aclose()
    await other.aclose()


async def test_cancelled_subscribe_leaves_nothing(
    own: NatsBackend, nats_server: NatsServer, name: str
) -> None:
    for turns in range(40):
        task = asyncio.create_task(Inbox().subscribe(own, f"{name}:{turns}"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            await task.result().aclose()
    await eventually(lambda: not nats_server.subjects(), "every subject to be left")


async def test_flood_leaves_others_their_turn(
    own: NatsBackend, nats_server: NatsServer, name: str, inbox: Inbox
) -> None:
    await inbox.subscribe(own, name)
    writer = NatsBackend(nats_server.url)
    flood = asyncio.create_task(writer.publish_many([(name, b"x" * 1000)] * 20_000))
    longest, last = 0.0, time.monotonic()
    while len(inbox.messages) < 20_000:
        await asyncio.sleep(0)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    await flood
    assert longest < 1
    await writer.aclose()


async def test_failing_handler_disturbs_no_other(
    backend: NatsBackend, name: str, inbox: Inbox
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


async def test_listener_to_everything_holds_nobody_up(
    own: NatsBackend, nats_server: NatsServer, name: str, inbox: Inbox
) -> None:
    everything = await nats.connect(nats_server.address)
    await everything.subscribe(">")
    await everything.flush()
    start = time.monotonic()
    await inbox.subscribe(own, name)
    await own.publish(name, b"x")
    await inbox.received(b"x")
    assert time.monotonic() - start < 2
    await everything.close()


async def test_foreign_message_is_delivered_as_it_is(
    own: NatsBackend, nats_server: NatsServer, name: str, inbox: Inbox
) -> None:
    await inbox.subscribe(own, name)
    stranger = await nats.connect(nats_server.address)
    await stranger.publish(subject_of(name), b"x", headers={"any": "header"}, reply="nobody")
    await stranger.publish(subject_of(name), b"\xff\x00")
    await stranger.flush()
    await inbox.received(b"x", b"\xff\x00")
    await stranger.close()


async def test_unsent_message_is_surely_not_sent(
    own: NatsBackend, nats_server: NatsServer, name: str, inbox: Inbox
) -> None:
    await inbox.subscribe(own, name)
    async with FaultProxy(nats_server.port) as proxy:
        backend = NatsBackend(nats_server.url_at(proxy.port), timeout=1)
        await backend.publish(name, b"before")
        proxy.to_client.black_hole = True
        # The first is on its way, unconfirmed; the second waits behind it.
        first = asyncio.create_task(backend.publish(name, b"first"))
        await eventually(lambda: b"first" in inbox.messages, "the first to be sent")
        second = asyncio.create_task(backend.publish(name, b"second"))
        await asyncio.sleep(0)
        second.cancel()
        proxy.cut()
        with pytest.raises(OutcomeUnknownError):
            await first
        proxy.to_client.black_hole = False
        await backend.publish(name, b"after")
        await inbox.received(b"before", b"first", b"after")
        await backend.aclose()
