"""Keys on every broker: what is written, and what a lost or late answer means."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from resumable_stream.errors import BackendUnavailableError, OutcomeUnknownError
from support.brokers import BROKERS
from support.calls import all_writes, written
from support.fault_proxy import FaultProxy
from support.servers import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from resumable_stream.ports import Backend
    from support.brokers import Broker


async def test_lost_reply_leaves_outcome_unknown(broker: Broker, name: str) -> None:
    async with FaultProxy(broker.port) as proxy:
        backend = broker.open(proxy.port, timeout=1.5)
        assert await backend.get(name) is None
        proxy.to_client.black_hole = True
        task = asyncio.create_task(backend.create(name, "mine", ttl=60))
        await eventually(lambda: broker.value(name) == "mine", "the write to be executed")
        proxy.cut()
        with pytest.raises(OutcomeUnknownError):
            await task
        proxy.to_client.black_hole = False
        assert await backend.get(name) == "mine"
        assert broker.writes() == 1
        assert not await backend.create(name, "other", ttl=60)
        assert broker.value(name) == "mine"
        await backend.aclose()


async def test_write_into_an_outage_never_comes_later(broker: Broker, name: str) -> None:
    async with FaultProxy(broker.port) as proxy:
        backend = broker.open(proxy.port, timeout=1)
        await backend.set("ready", "v", ttl=60)
        proxy.to_server.black_hole = True
        *outcomes, compared = await all_writes(backend, name)
        assert {type(outcome) for outcome in outcomes} == {OutcomeUnknownError}
        assert type(compared) is broker.unsent_compare
        proxy.to_server.black_hole = False
        proxy.cut()
        await written(backend, "after")
        # The writes that the proxy swallowed are lost with their connection.
        assert broker.value(name) is None
        assert broker.writes() == 2
        await backend.aclose()


async def test_silent_server_fails_in_time(own: Backend, broker: Broker, name: str) -> None:
    assert await own.get(name) is None
    broker.freeze()
    start = time.monotonic()
    *outcomes, compared = await all_writes(own, name)
    assert {type(outcome) for outcome in outcomes} == {OutcomeUnknownError}
    assert type(compared) is broker.unsent_compare
    with pytest.raises(BackendUnavailableError):
        await own.get(name)
    assert time.monotonic() - start < 8
    broker.thaw()
    await written(own, name, at_once=broker.recovers_at_once)
    assert await own.get(name) == "v"


async def test_absent_server_executes_nothing(own: Backend, broker: Broker, name: str) -> None:
    broker.kill()
    outcomes = [*await all_writes(own, name), *await all_writes(own, name)]
    assert {type(outcome) for outcome in outcomes} == {BackendUnavailableError}
    assert all(isinstance(one, Exception) and one.__cause__ is not None for one in outcomes)
    with pytest.raises(BackendUnavailableError):
        await own.get(name)
    broker.start()
    assert await own.create(name, "v", ttl=5)


@pytest.mark.parametrize("first", ["writes", "publishes"])
async def test_cut_inside_a_command_is_told(broker: Broker, name: str, first: str) -> None:
    async with FaultProxy(broker.port) as proxy:
        for after in (1, 20, 60, 300, 1500, 5000):
            backend = broker.open(proxy.port, timeout=1.5)
            await backend.get(name)
            proxy.to_server.cut_after = after
            writes = [backend.set(f"{name}:{number}", "x" * 1000, ttl=60) for number in range(5)]
            publishes = [backend.publish(name, b"x" * 1000) for _ in range(5)]
            calls: list[Awaitable[None]] = [*writes, *publishes]
            if first == "publishes":
                calls = [*publishes, *writes]
            results = await asyncio.gather(*calls, return_exceptions=True)
            kinds = set(map(type, results))
            assert OutcomeUnknownError in kinds, after
            assert kinds <= {OutcomeUnknownError, BackendUnavailableError, type(None)}, after
            proxy.to_server.cut_after = None
            await written(backend, name, at_once=broker.recovers_at_once)
            await backend.publish(name, b"after")
            await backend.aclose()


async def test_answers_split_anywhere_are_read(broker: Broker, name: str) -> None:
    async with FaultProxy(broker.port) as proxy:
        proxy.to_client.split = proxy.to_server.split = 1
        backend = broker.open(proxy.port)
        await backend.set(name, "grüße 🙂", ttl=60)
        values = await asyncio.gather(*(backend.get(name) for _ in range(20)))
        assert values == ["grüße 🙂"] * 20
        await backend.aclose()


@pytest.mark.parametrize(("kind", "login"), [("redis", ":secret@"), ("nats", "u:secret@")])
async def test_server_that_never_greets_fails_in_time(kind: str, login: str, name: str) -> None:
    async with FaultProxy(1) as nobody:
        nobody.to_client.black_hole = True
        backend = BROKERS[kind]().open(nobody.port, timeout=1, login=login)
        with pytest.raises(BackendUnavailableError) as caught:
            await backend.get(name)
        assert "secret" not in str(caught.value)
        await backend.aclose()


async def test_cancelled_reply_is_never_anothers(backend: Backend, name: str) -> None:
    await backend.set(name, "right", ttl=60)
    await backend.set(name + "wrong", "wrong", ttl=60)
    for turns in range(40):
        task = asyncio.create_task(backend.get(name + "wrong"))
        for _ in range(turns % 8):
            await asyncio.sleep(0)
        task.cancel()
        assert await backend.get(name) == "right"
        await asyncio.wait([task])


async def test_cancelled_write_disturbs_no_other(backend: Backend, name: str) -> None:
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
