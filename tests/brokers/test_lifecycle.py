"""Opening, closing, and event loops one after another, on every broker."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING

import pytest

from resumable_stream.errors import BackendUnavailableError, WrongEventLoopError
from resumable_stream.ports import Loss
from support.brokers import BROKERS
from support.fault_proxy import FaultProxy
from support.inbox import Inbox
from support.servers import eventually

if TYPE_CHECKING:
    from resumable_stream.ports import Backend
    from support.brokers import Broker


@pytest.mark.parametrize("kind", BROKERS)
def test_opening_connects_to_nothing(kind: str) -> None:
    backend = BROKERS[kind]().open()
    asyncio.run(backend.aclose())
    with pytest.raises(BackendUnavailableError):
        asyncio.run(backend.get("k"))


def test_backend_follows_to_next_loop(broker: Broker, name: str) -> None:
    backend = broker.open()

    async def leave_everything_open() -> None:
        await backend.set(name, "v", ttl=60)
        await Inbox().subscribe(backend, name)

    for _ in range(3):
        asyncio.run(leave_everything_open())
        gc.collect()
        asyncio.run(eventually(lambda: broker.connected() == 0, "all to be closed"))
    asyncio.run(backend.aclose())


async def test_second_running_loop_is_refused(backend: Backend, name: str) -> None:
    await backend.get(name)
    with pytest.raises(WrongEventLoopError, match="another event loop"):
        await asyncio.to_thread(lambda: asyncio.run(backend.get(name)))


async def test_close_tells_subscribers_and_callers(
    own: Backend, broker: Broker, name: str, inbox: Inbox
) -> None:
    subscription = await inbox.subscribe(own, name)
    await own.get(name)
    broker.freeze()
    calls = [
        asyncio.create_task(own.set(name, "v", ttl=60)),
        asyncio.create_task(own.publish(name, b"m")),
        asyncio.create_task(own.get(name)),
    ]
    late = asyncio.create_task(Inbox().subscribe(own, name + "late"))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await own.aclose()
    await own.aclose()
    assert time.monotonic() - began < 3
    assert inbox.losses == [Loss.CLOSED]
    outcomes = await asyncio.gather(*calls, late, return_exceptions=True)
    kinds = [type(outcome).__name__ for outcome in outcomes]
    unknown, unavailable = "OutcomeUnknownError", "BackendUnavailableError"
    assert kinds == [unknown, unknown, unavailable, unavailable]
    await subscription.aclose()
    for call in (own.get(name), own.publish(name, b""), inbox.subscribe(own, name)):
        with pytest.raises(BackendUnavailableError):
            await call
    assert len(asyncio.all_tasks()) == 1


async def test_lost_connections_leave_no_task(broker: Broker, name: str) -> None:
    async with FaultProxy(broker.port) as proxy:
        backend = broker.open(proxy.port, timeout=1)
        inbox = Inbox()
        await inbox.subscribe(backend, name)
        await backend.get(name)
        tasks = len(asyncio.all_tasks())
        for times in range(1, 21):
            # While data is unsent, nats-py's own close stops half-way.
            unsent = asyncio.create_task(backend.publish(name, b"x" * 300_000))
            await asyncio.sleep(0)
            proxy.cut()
            await asyncio.wait([unsent])
            await inbox.lost(times)
            await backend.get(name)
        await eventually(lambda: len(asyncio.all_tasks()) <= tasks, "the lost ones' tasks to end")
        await backend.aclose()
