"""Subscriptions on NATS: what the client keeps, drops or holds back, and foreign messages."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING

import nats
import pytest

from resumable_stream.errors import OutcomeUnknownError
from resumable_stream_nats import NatsBackend
from resumable_stream_nats._names import subject_of
from support.fault_proxy import FaultProxy
from support.inbox import Inbox
from support.servers import eventually

if TYPE_CHECKING:
    from support.nats_servers import NatsServer

INTERVAL = "resumable_stream_nats._own_link.PING_INTERVAL"


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
    # One leaked object for each turn would make 1,000 or more; fewer than 500 are noise.
    assert await come_and_go(1000) - before < 500


async def test_burst_is_delivered_whole(own: NatsBackend, name: str, inbox: Inbox) -> None:
    await inbox.subscribe(own, name)
    # More than nats-py would hold of what has come and is not handled yet.
    sent = [b"%d" % number for number in range(20_000)]
    await own.publish_many([(name, message) for message in sent])
    await eventually(lambda: len(inbox.messages) == len(sent), "all to arrive")
    assert inbox.messages == sent
    assert not inbox.losses


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
        # The first message is sent but unconfirmed; the second one waits behind it.
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
