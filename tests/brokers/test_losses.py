"""A lost connection is noticed and replaced, and the loss is reported to each subscription."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from resumable_stream.ports import Loss
from support.brokers import BROKERS
from support.fault_proxy import FaultProxy
from support.inbox import Inbox
from support.servers import eventually

if TYPE_CHECKING:
    from resumable_stream.ports import Backend
    from support.brokers import Broker


async def test_all_channels_return_after_restart(own: Backend, broker: Broker, name: str) -> None:
    inboxes = [Inbox() for _ in range(600)]
    for number, inbox in enumerate(inboxes):
        await inbox.subscribe(own, f"{name}:{number}")
    broker.restart()
    for number, inbox in enumerate(inboxes):
        await inbox.lost()
        assert inbox.losses == [Loss.RECONNECTED]
        assert await own.get(f"{name}:{number}") is None
        await own.publish(f"{name}:{number}", b"after")
        await inbox.received(b"after")


async def test_frozen_server_is_noticed(
    own: Backend, broker: Broker, name: str, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker.ping_interval, 0.5)
    async with FaultProxy(broker.port) as proxy:
        backend = broker.open(proxy.port, timeout=1.5)
        await inbox.subscribe(backend, name)
        broker.freeze()
        start = time.monotonic()
        await eventually(lambda: proxy.accepted > 1, "another connection to be tried")
        assert 1.5 < time.monotonic() - start < 6.5
        broker.thaw()
        await inbox.lost()
        await own.publish(name, b"after")
        await inbox.received(b"after")
        await backend.aclose()


async def test_half_open_connection_is_replaced(
    own: Backend, broker: Broker, name: str, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker.ping_interval, 0.5)
    async with FaultProxy(broker.port) as proxy:
        backend = broker.open(proxy.port, timeout=1)
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
    own: Backend, broker: Broker, name: str, inbox: Inbox
) -> None:
    async with FaultProxy(broker.port) as proxy:
        backend = broker.open(proxy.port)
        await inbox.subscribe(backend, name)
        for times in range(1, 11):
            proxy.cut()
            await inbox.lost(times)
            await own.publish(name, b"%d" % times)
            await inbox.received(*(b"%d" % number for number in range(1, times + 1)))
        assert set(inbox.losses) == {Loss.RECONNECTED}
        await backend.aclose()
        await eventually(lambda: broker.connected() == 1, "the connections to go")


@pytest.mark.parametrize("kind", BROKERS)
async def test_reader_cut_off_by_server_learns_it(kind: str, name: str, inbox: Inbox) -> None:
    with BROKERS[kind].strict() as broker:
        async with FaultProxy(broker.port) as proxy:
            backend, writer = broker.open(proxy.port), broker.open()
            await inbox.subscribe(backend, name)
            proxy.to_client.delay = 0.5
            sent = 0
            # The system buffers the first 40 MB. Valkey does not count messages over 16 KiB.
            while not broker.has_cut_off():
                assert sent < 20_000, "the server does not cut it off"
                await writer.publish_many([(name, b"x" * 10_000)] * 500)
                sent += 500
            proxy.to_client.delay = 0
            await inbox.lost()
            assert len(inbox.messages) < sent
            seen = len(inbox.messages)
            await writer.publish(name, b"after")
            await eventually(lambda: len(inbox.messages) > seen, "the message after the loss")
            await backend.aclose()
            await writer.aclose()
