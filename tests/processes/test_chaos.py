"""Faults of any kind in any order lose no text, as long as the lease is kept."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from processes.texts import Source
from processes.workers import state_reached
from support.fault_proxy import FaultProxy, Faults

if TYPE_CHECKING:
    from processes.workers import Crew, Worker
    from support.brokers import Broker

ROUNDS = 25

# A visitor tries again after these: a call gives up on a broker sooner than a reader does, and a
# broker that was restarted empty knows no stream until its producer has connected again.
AGAIN = {"BackendUnavailableError", "HandshakeTimeoutError", "NOT_FOUND"}


class Chaos:
    """Breaks one thing after the other, and lets each heal."""

    def __init__(self, seed: int, broker: Broker, proxies: list[FaultProxy]) -> None:
        self._random = random.Random(seed)
        self._broker = broker
        self._proxies = proxies

    async def strike(self) -> None:
        await self._random.choice(
            [self._cut, self._hole, self._slow, self._restart, self._freeze]
        )()

    def heal(self) -> None:
        for proxy in self._proxies:
            proxy.to_client.delay = 0.0
            proxy.to_server.split = None

    def _some(self) -> FaultProxy:
        return self._random.choice(self._proxies)

    async def _pause(self) -> None:
        await asyncio.sleep(self._random.uniform(0, 0.3))

    async def _cut(self) -> None:
        self._some().cut()

    async def _hole(self) -> None:
        """Swallow one direction of the old connections, and cut them after a while."""
        proxy, name = self._some(), self._random.choice(["to_server", "to_client"])
        old: Faults = getattr(proxy, name)
        setattr(proxy, name, Faults())
        old.black_hole = True
        await self._pause()
        proxy.cut()

    async def _slow(self) -> None:
        proxy = self._some()
        proxy.to_client.delay = self._random.uniform(0, 0.05)
        proxy.to_server.split = self._random.choice([None, 3, 100])

    async def _restart(self) -> None:
        self._broker.kill()
        await self._pause()
        await asyncio.to_thread(self._broker.start)

    async def _freeze(self) -> None:
        self._broker.freeze()
        await self._pause()
        self._broker.thaw()


class Visitor:
    """Reads a stream in many visits, each from the offset that the one before reached.

    Attributes:
        staying: set once the visitor is attached and will stay until the end.
    """

    def __init__(self, worker: Worker, stream: str, source: Source) -> None:
        self.staying = asyncio.Event()
        self._worker = worker
        self._stream = stream
        self._source = source
        self._stay_from = source.units(source.count - 100)

    async def read(self, steps: random.Random) -> None:
        visit = offset = 0
        while True:
            reader = f"visit {visit}"
            joined = await self._worker.resume(
                self._stream, self._source, reader=reader, skip=offset
            )
            if joined in AGAIN:
                continue
            assert joined == "reading"
            if offset >= self._stay_from:
                self.staying.set()
                (await self._worker.read(reader)).check_complete()
                return
            found = await self._worker.read(reader, limit=steps.randrange(1, 100))
            found.check_part(None)
            visit, offset = visit + 1, found.offset
            await self._worker.ask("leave", reader=reader)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
async def test_faults_in_any_order_lose_no_text(
    broker: Broker, crew: Crew, stream: str, seed: int
) -> None:
    source = Source(seed=seed, count=ROUNDS * 100, gated_from=0, pause=0.0005)
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(FaultProxy(broker.port)) for _ in range(3)]
        workers = [await crew.worker(broker.url_at(proxy.port)) for proxy in proxies]
        producing, steady, coming = workers
        await producing.begin(stream, source)
        assert await steady.resume(stream, source) == "reading"
        visitor = Visitor(coming, stream, source)
        visits = asyncio.create_task(visitor.read(random.Random(seed)))
        chaos = Chaos(seed, broker, proxies)
        for _ in range(ROUNDS):
            await producing.release(stream, 100)
            await chaos.strike()
            (await producing.read(stream, limit=100)).check_part(None)
        chaos.heal()
        staying = asyncio.create_task(visitor.staying.wait())
        await asyncio.wait({visits, staying}, return_when=asyncio.FIRST_COMPLETED)
        await producing.release(stream)
        (await producing.read(stream)).check_complete()
        (await steady.read(stream)).check_complete()
        await visits
        await state_reached(steady, stream, "completed")
        assert await producing.calls(stream) == 1
        await crew.close()
