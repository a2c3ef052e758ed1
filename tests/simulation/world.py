"""Run one seed: build the world, run it, and let the oracle judge it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import secrets
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest import mock

from resumable_stream import ResumableStreamContext, create_resumable_stream_context
from resumable_stream._protocol import sentinel
from simulation.actors import Cancel, Client, Visit, cancel
from simulation.adapters import Adapter
from simulation.broker import Server
from simulation.clock import DeadlockError, Host, SimulatedLoop
from simulation.erasing import Deletion, delete
from simulation.oracle import Oracle
from simulation.plan import Plan, TypeScript, draw
from simulation.sources import Sources
from simulation.timeline import Timeline
from simulation.troubles import Climate
from simulation.typescript import TypeScriptProducer, TypeScriptReader
from simulation.weather import Weatherman
from support.spinning import LivelockError, spinning_is_ended

if TYPE_CHECKING:
    from collections.abc import Iterator

# Everybody must be done this many true seconds after the last trouble and the last source's end.
_PATIENCE = 2_000.0
_ENOUGH = 10**6


@dataclass(eq=False)
class Machine:
    """A host with the library on it."""

    host: Host
    adapter: Adapter
    context: ResumableStreamContext
    died: asyncio.Future[None]
    gone: bool = False


@dataclass(frozen=True)
class Report:
    seed: int
    problems: tuple[str, ...]
    plan: Plan
    timeline: Timeline


class World:
    def __init__(self, plan: Plan, loop: SimulatedLoop, rng: random.Random) -> None:
        self.plan = plan
        self.loop = loop
        self.rng = rng
        self.timeline = Timeline(loop)
        self.server = Server(loop, rng, self.timeline)
        self.machines: list[Machine] = []
        self.visits: list[Visit] = []
        self.cancels: list[Cancel] = []
        self.deletions: list[Deletion] = []
        self.readers: list[Any] = []
        self.sources = {
            stream: Sources(stream, loop, self.timeline, partial(self._script, stream))
            for stream in plan.streams
        }
        self.typescript_readers: list[TypeScriptReader] = []
        self.oracle = Oracle(self)

    def machine(self, name: str, number: int) -> Machine:
        plan = self.plan
        latency, offset, rate = plan.hosts[number]
        host = Host(name, offset, rate)
        keeps = plan.journal is not None
        adapter = Adapter(
            self.server, host, latency, plan.max_message_size, plan.max_pending, keeps=keeps
        )
        context = create_resumable_stream_context(backend=adapter, options=plan.options_of(number))
        machine = Machine(host, adapter, context, self.loop.create_future())
        self.machines.append(machine)
        return machine

    async def run(self) -> None:
        plan = self.plan
        for number in range(len(plan.hosts)):
            self.machine(f"host-{number}", number)
        self.server.weather = plan.weather
        if plan.journal is not None:
            self.server.logs.habits = replace(plan.journal.habits, mishaps=[])
        weather = Weatherman(self)
        work = [self._start(weather.run(), "weather"), self._start(self.oracle.watch(), "oracle")]
        clients = [
            self._start(Client(self, stream, client).run(), "client")
            for stream, client in plan.clients
        ]
        clients += [
            self._start(cancel(self, stream, at, host), "cancel")
            for stream, at, host in plan.cancels
        ]
        clients += self._typescript_peers()
        late = 0.0
        if plan.journal is not None:
            late = plan.journal.lasts
            clients += [
                self._start(delete(self, stream, at, host), "delete")
                for stream, at, host in plan.journal.deletes
            ]
        async with asyncio.timeout(plan.storm + late + _PATIENCE + self._productions()):
            await asyncio.gather(*clients, work[0])
            await self.oracle.settle()
        work[1].cancel()
        await asyncio.wait(work)
        if not work[1].cancelled():
            work[1].result()  # raises if the oracle itself failed and so checked nothing
        await self._close()

    def _start(self, coroutine: Any, name: str) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = self.loop.start(None, coroutine, name)
        return task

    def _script(self, stream: str) -> Any:
        return self.plan.script(stream, len(self.sources[stream].runs))

    def _productions(self) -> float:
        """Return how long the first sources may take."""
        return 12 * sum(
            sum(max(0.0, pause) for pause in self.plan.script(stream, number).pauses)
            for stream in self.plan.streams
            for number in range(1, 4)
        )

    def _typescript_peers(self) -> list[asyncio.Task[Any]]:
        plan, tasks = self.plan, []
        if plan.typescript is TypeScript.PRODUCES:
            machine = self._typescript_machine()
            producer = TypeScriptProducer(self, machine, "s")
            tasks.append(self._start(producer.run(plan.script("s", 0)), "typescript"))
        if plan.typescript is TypeScript.READS:
            machine = self._typescript_machine()
            for number in range(self.rng.randrange(1, 4)):
                reader = TypeScriptReader(
                    "s",
                    self.rng.choice((0.0, self.rng.uniform(0, plan.storm))),
                    self.rng.choice((0, 0, 7, 500)),
                )
                self.typescript_readers.append(reader)
                tasks.append(self._start(reader.run(self, machine, number), "typescript"))
        return tasks

    def _typescript_machine(self) -> Machine:
        near = self.rng.choice((0.02, 1.0))
        machine = self.machine("typescript", 0)
        machine.adapter.latency *= near
        machine.host.offset, machine.host.rate = 0.0, 1.0
        # A TypeScript peer can repair neither a lost connection nor an overflow.
        machine.adapter.sheltered = True
        machine.adapter.max_pending = _ENOUGH
        self.machines.remove(machine)
        return machine

    async def _close(self) -> None:
        """Close all contexts, judge, and end the tasks of dead hosts."""
        for machine in self.machines:
            if not machine.host.dead and not machine.gone:
                task = self.loop.start(machine.host, machine.context.aclose(0), "close")
                await asyncio.wait({task})
                task.result()
        self.oracle.judge()
        for host in {adapter.host: None for adapter in self.server.adapters}:
            if host.dead and (tasks := self.loop.bury(host)):
                await asyncio.wait(tasks)
        self.loop.stop_clock()


def simulate(seed: int) -> Report:
    """Run one seed; the same seed always gives the same run."""
    plan = draw(seed)
    rng = random.Random(f"world {seed}")
    with _undisturbed(rng):
        loop = SimulatedLoop(rng, shuffle=plan.shuffle)
        world = World.__new__(World)
        problems: list[str] = []
        try:
            with spinning_is_ended(loop), asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.get_loop()
                world.__init__(plan, loop, rng)  # type: ignore[misc]
                try:
                    runner.run(world.run())
                except (DeadlockError, LivelockError) as error:
                    problems.append(f"{type(error).__name__}: {error}")
                except TimeoutError:
                    problems.append(f"an endless wait: {world.oracle.waiting()}")
                except Exception as error:
                    problems.append(f"escaped: {error!r}")
                    logging.getLogger(__name__).debug("escaped", exc_info=True)
        except (DeadlockError, LivelockError) as error:
            problems.append(f"at the end: {error}")
        problems += world.oracle.problems
        problems += [f"unhandled: {context}" for context in loop.errors]
    return Report(seed, tuple(problems), plan, world.timeline)


def _true_time() -> float:
    """Return the time of a wall clock, which hosts share, unlike the clocks of their loops."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    return loop.now


@contextlib.contextmanager
def _undisturbed(rng: random.Random) -> Iterator[None]:
    """Take all randomness from the seed; switch off garbage collection and the log."""
    collected = gc.isenabled()
    gc.disable()
    logger = logging.getLogger("resumable_stream")
    try:
        with (
            mock.patch.object(secrets, "randbelow", rng.randrange),
            mock.patch.object(secrets, "token_hex", lambda size: rng.randbytes(size).hex()),
            mock.patch.object(secrets, "token_bytes", rng.randbytes),
            mock.patch.object(logger, "disabled", True),
            mock.patch.object(sentinel, "wall_clock", _true_time),
        ):
            yield
    finally:
        if collected:
            gc.enable()


__all__ = ["Climate", "Report", "World", "simulate"]
