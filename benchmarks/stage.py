"""What a workload works with: one contender, its processes, and its server."""

from __future__ import annotations

import asyncio
import re
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.environments import client_launch
from benchmarks.processes import Process, RunFailedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from benchmarks.brokers import Brokers
    from benchmarks.contenders import Contender
    from benchmarks.environments import Launch

Metrics = dict[str, float]


@dataclass(frozen=True)
class Scale:
    """The sizes of the workloads: enough to measure, or just enough to see that they work."""

    alone_chunks: int = 200_000
    alone_seconds: float = 3.0
    live_seconds: float = 3.0
    listeners: tuple[int, ...] = (1, 10, 100)
    unpaced_deliveries: int = 200_000
    unpaced_chunks: int = 10_000
    buffered: tuple[int, ...] = (1_000, 10_000, 100_000)
    streams: int = 500
    crowd: int = 2_000
    streams_seconds: float = 6.0
    memory_chunks: int = 250_000
    memory_store_chunks: int = 10_000
    short_streams: int = 2_000
    idle_streams: int = 10_000
    idle_seconds: float = 10.0
    imports: int = 5
    kept_chunks: int = 100_000
    kept_turns: int = 12
    kept_seconds: float = 6.0
    web_clients: tuple[int, ...] = (1, 100, 1_000)
    web_deliveries: int = 200_000
    web_streams: int = 200
    web_readers: int = 2_000
    web_seconds: float = 6.0
    web_idle: int = 5_000
    web_idle_seconds: float = 15.0
    patience: float = 60.0


QUICK = Scale(
    alone_chunks=100_000, listeners=(1, 10), unpaced_deliveries=60_000, buffered=(10_000,)
)
SMOKE = Scale(
    alone_chunks=500,
    live_seconds=0.3,
    listeners=(2,),
    unpaced_deliveries=400,
    unpaced_chunks=200,
    buffered=(100,),
    streams=3,
    crowd=4,
    streams_seconds=0.3,
    memory_chunks=2_000,
    memory_store_chunks=200,
    short_streams=5,
    idle_streams=5,
    idle_seconds=0.1,
    imports=1,
    kept_chunks=300,
    kept_turns=2,
    kept_seconds=0.3,
    web_clients=(2,),
    web_streams=2,
    web_readers=4,
    web_seconds=0.5,
    web_idle=4,
    web_idle_seconds=0.1,
)


@dataclass(frozen=True)
class Stage:
    workload: str
    contender: Contender
    brokers: Brokers
    launch: Launch
    scale: Scale
    profiles: Path | None = None

    @asynccontextmanager
    async def producer(self, durability: str | None = None) -> AsyncIterator[Process]:
        await self.brokers.clear(self.contender)
        async with self.process("producer", durability=durability) as process:
            yield process

    @asynccontextmanager
    async def both(
        self, consumer: str = "consumer", durability: str | None = None
    ) -> AsyncIterator[tuple[Process, Process]]:
        """A producer, and a consumer in another process; without a broker they are one process."""
        async with AsyncExitStack() as stack:
            producer = await stack.enter_async_context(self.producer(durability))
            if not self.contender.remote:
                yield producer, producer
                return
            yield producer, await stack.enter_async_context(self.process(consumer))

    @asynccontextmanager
    async def site(self, *, clients: int) -> AsyncIterator[tuple[Process, Process, Process, int]]:
        """A producer, a web server that consumes, a client of it, and the server's port."""
        async with self.both("server") as (producer, server), self.client() as client:
            application = self.contender.application
            port = await server.ask("serve", application=application, clients=clients)
            yield producer, server, client, port

    def client(self, role: str = "client") -> Process:
        return self.process(role, client_launch())

    async def to_the_end(self, producer: Process, consumer: Process) -> tuple[Any, Any]:
        """Wait for the readers of both sides, and compare their texts with the source."""
        if producer is consumer:
            finished, read = await producer.ask("finish"), await consumer.ask("read")
            check_exact("an own reader", finished["faults"])
        else:
            reading = asyncio.create_task(consumer.ask("read"))
            try:
                finished = await producer.ask("finish")
                # Checked first: if the producer failed, its listeners may wait for ever.
                check_exact("an own reader", finished["faults"])
                read = await reading
            finally:
                reading.cancel()
                await asyncio.wait({reading})
        judged = await consumer.ask("read", counts=finished["counts"])
        check_exact("a listener", judged["faults"])
        return finished, read

    def process(
        self, role: str, launch: Launch | None = None, durability: str | None = None
    ) -> Process:
        """Return one more process; it keeps text if there is a durability."""
        launch = launch or self.launch
        if self.profiles is not None:
            name = f"{self.workload}-{self.contender.name}-{role}.prof"
            launch = launch.with_profile(self.profiles / re.sub(r"[^\w.-]", "-", name))
        url, journal = self.brokers.url(self.contender), self.brokers.journal(self.contender)
        named = {"durability": durability, "journal": journal}
        settings = {name: value for name, value in named.items() if value}
        return Process(launch, self.contender, url, self.scale.patience, settings)

    @staticmethod
    def stream() -> str:
        return uuid.uuid4().hex[:12]


@dataclass(frozen=True)
class Workload:
    """One row of the tables.

    Attributes:
        name: the workload and its size, such as ``W2/10``.
        run: measures it once.
        fits: whether a contender can take part at all; a failure is a result, too.
        web: whether it measures through HTTP, for which there are other contenders.
        keeps: whether text is kept, for which there are more contenders.
    """

    name: str
    run: Callable[[Stage], Awaitable[Metrics]]
    fits: Callable[[Contender], bool]
    web: bool = False
    keeps: bool = False

    def takes(self, contender: Contender) -> bool:
        if self.web != (contender.application is not None):
            return False
        return (self.keeps or contender.journal is None) and self.fits(contender)

    @property
    def group(self) -> str:
        return self.name.partition("/")[0]


def check_exact(who: str, faults: list[str]) -> None:
    if faults:
        raise RunFailedError(f"{who} got a wrong text: {faults[0]}")
