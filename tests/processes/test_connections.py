"""Connections that are cut, swallowed, delayed and truncated on their way to a sound server."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from processes.texts import Source
from processes.workers import state_reached
from support.fault_proxy import FaultProxy, Faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from processes.workers import Crew, Worker
    from support.brokers import Broker

STEP = 100


class Line:
    """A producer and a reader, each behind a proxy of its own, on one stream."""

    def __init__(self, stream: str, producing: Worker, reading: Worker) -> None:
        self.stream = stream
        self.producing = producing
        self.reading = reading
        self.proxies: list[FaultProxy] = []
        self.source = Source(count=6000, gated_from=0)

    @property
    def faults(self) -> list[Faults]:
        return [one for proxy in self.proxies for one in (proxy.to_server, proxy.to_client)]

    async def connect(self) -> None:
        assert await self.producing.begin(self.stream, self.source) == "reading"
        assert await self.reading.resume(self.stream, self.source) == "reading"
        await self.advance()

    async def advance(self, steps: int = 1) -> None:
        """Let some text through to both readers."""
        await self.producing.release(self.stream, steps * STEP)
        for worker in (self.producing, self.reading):
            (await worker.read(self.stream, limit=steps * STEP)).check_part(None)

    async def finish(self) -> None:
        await self.producing.release(self.stream)
        for worker in (self.producing, self.reading):
            (await worker.read(self.stream)).check_complete()
        await state_reached(self.reading, self.stream, "completed")
        assert await self.producing.calls(self.stream) == 1


@asynccontextmanager
async def connected(broker: Broker, crew: Crew, stream: str, lease: float) -> AsyncIterator[Line]:
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(FaultProxy(broker.port)) for _ in range(2)]
        urls = [broker.url_at(proxy.port) for proxy in proxies]
        workers = [await crew.worker(url, lease=lease) for url in urls]
        line = Line(stream, *workers)
        line.proxies = proxies
        await line.connect()
        yield line
        # The workers close their connections through the proxies, which must still run.
        await asyncio.gather(*(worker.end() for worker in workers))


@pytest.fixture
async def line(broker: Broker, crew: Crew, stream: str) -> AsyncIterator[Line]:
    async with connected(broker, crew, stream, lease=6.0) as line:
        yield line


async def test_cut_connections_lose_no_text(line: Line) -> None:
    for number in range(8):
        await line.producing.release(line.stream, STEP)
        line.proxies[number % 2].cut()
        for worker in (line.producing, line.reading):
            (await worker.read(line.stream, limit=STEP)).check_part(None)
    await line.finish()


async def test_truncated_messages_lose_no_text(line: Line) -> None:
    for number, after in enumerate([0, 7, 50, 300, 1000, 10_000]):
        for faults in line.faults:
            faults.cut_after = None
        line.faults[number % 4].cut_after = after
        line.faults[(number + 1) % 4].cut_after = after * 2
        await line.producing.release(line.stream, STEP)
        await asyncio.sleep(0.1)
        for faults in line.faults:
            # A cut that has not happened yet is called off, so that the next replies get through.
            faults.cut_after = None
        for worker in (line.producing, line.reading):
            (await worker.read(line.stream, limit=STEP)).check_part(None)
    await line.finish()


async def test_delayed_and_split_replies_lose_no_text(line: Line) -> None:
    for faults, delay, split in zip(
        line.faults, [0.03, 0.05, 0.02, 0.08], [7, None, 1, 50], strict=True
    ):
        faults.delay = delay
        faults.split = split
    for _ in range(5):
        await line.advance()
    await line.finish()


@pytest.mark.long
async def test_half_open_connections_lose_no_text(broker: Broker, crew: Crew, stream: str) -> None:
    async def stay_half_open(number: int) -> None:
        name = f"{stream} {number}"
        async with connected(broker, crew, name, lease=15.0) as line:
            proxy = line.proxies[number % 2]
            # The old connections swallow one direction from now on; new connections are sound.
            if number < 2:
                deaf, proxy.to_server = proxy.to_server, Faults()
            else:
                deaf, proxy.to_client = proxy.to_client, Faults()
            deaf.black_hole = True
            await line.advance()
            await line.finish()

    await asyncio.gather(*map(stay_half_open, range(4)))


async def test_partitioned_producer_comes_back(line: Line) -> None:
    cut_off = line.proxies[0]
    cut_off.to_client.black_hole = cut_off.to_server.black_hole = True
    await line.producing.release(line.stream, STEP)
    (await line.producing.read(line.stream, limit=STEP)).check_part(None)
    # Once its lease is over, a partitioned producer cannot be distinguished from a dead one.
    lost = await line.reading.read(line.stream)
    lost.check_part("ProducerLostError")
    assert await line.reading.status(line.stream) == "not_found"
    cut_off.to_client.black_hole = cut_off.to_server.black_hole = False
    cut_off.cut()
    again = {"skip": lost.offset, "chase": True}
    assert await line.reading.resume(line.stream, line.source, **again) == "reading"
    await line.finish()
