"""Causes the troubles of the plan, and ends them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulation.broker import Weather
from simulation.journal import LOSSES
from simulation.troubles import PRODUCER, Kind

if TYPE_CHECKING:
    from simulation.journal_plan import JournalTrouble
    from simulation.troubles import Trouble
    from simulation.world import Machine, World


@dataclass(frozen=True)
class Damage:
    """A trouble as it really happened: what it hit, and when."""

    kind: Kind
    host: str
    begin: float
    end: float
    keys: str


class Weatherman:
    def __init__(self, world: World) -> None:
        self._world = world

    async def run(self) -> None:
        world = self._world
        begin = world.loop.now
        snapshots = world.rng.uniform(0, world.plan.storm / 2)
        world.loop.at(begin + snapshots, None, world.server.snapshot)
        journal = world.plan.journal
        async with asyncio.TaskGroup() as group:
            for trouble in world.plan.troubles:
                group.create_task(self._cause(trouble))
            for mishap in journal.troubles if journal is not None else ():
                group.create_task(self._disturb(mishap))
        await asyncio.sleep(max(0.0, begin + world.plan.storm - world.loop.now))
        world.server.weather = Weather()
        world.server.logs.habits.lost_reply = world.server.logs.habits.lost_write = 0.0
        world.oracle.healed = world.loop.now
        world.timeline.note(None, "all trouble is over")

    async def _cause(self, trouble: Trouble) -> None:
        world = self._world
        await asyncio.sleep(trouble.at)
        machine = self._producer() if trouble.host == PRODUCER else world.machines[trouble.host]
        begin = world.loop.now
        if trouble.kind is Kind.OUTAGE:
            if world.server.down:
                return
        elif machine.gone or machine.host.paused:
            return
        world.timeline.note(machine.host, "TROUBLE", str(trouble.kind), trouble.lasts, trouble.keys)
        damage = Damage(trouble.kind, machine.host.name, begin, begin + trouble.lasts, trouble.keys)
        world.oracle.damages.append(damage)
        await self._act(trouble, machine)
        world.timeline.note(machine.host, "mended", str(trouble.kind))

    def _producer(self) -> Machine:
        """Return a machine that produces, or any if none does."""
        world = self._world
        for machine in reversed(world.machines):
            for source in world.sources.values():
                if any(run.host is machine.host and run.closed is None for run in source.runs):
                    return machine
        return world.machines[0]

    async def _act(self, trouble: Trouble, machine: Machine) -> None:
        world, adapter = self._world, machine.adapter
        match trouble.kind:
            case Kind.OUTAGE:
                world.server.stop()
                await asyncio.sleep(trouble.lasts)
                world.server.start(trouble.keys, self._logs_after(trouble))
            case Kind.UNPLUG:
                adapter.held_back = True
                adapter.disconnect()
                await asyncio.sleep(trouble.lasts)
                adapter.held_back = False
                adapter.reconnect_soon()
            case Kind.BLACK_HOLE:
                adapter.black_hole = True
                await asyncio.sleep(trouble.lasts)
                adapter.black_hole = False
                adapter.reset()
            case Kind.DEAFEN:
                await self._deafen(trouble, machine)
            case Kind.PAUSE:
                machine.host.paused = True
                await asyncio.sleep(trouble.lasts)
                world.loop.resume(machine.host)
            case Kind.KILL:
                machine.gone = True
                world.loop.kill(machine.host)
                machine.died.set_result(None)
                self._restart(trouble, machine)
            case Kind.CLOSE:
                machine.gone = True
                closing = world.loop.start(machine.host, machine.context.aclose(), "close")
                await asyncio.wait({closing})
                closing.result()
                self._restart(trouble, machine)

    def _logs_after(self, trouble: Trouble) -> str:
        """Tell what an outage of the broker leaves of the logs."""
        journal = self._world.plan.journal
        if journal is None or journal.habits.elsewhere:
            return "kept"
        keeps = trouble.keys == "kept" or journal.after_outage == "as keys"
        return trouble.keys if keeps else journal.after_outage

    async def _disturb(self, trouble: JournalTrouble) -> None:
        """Cause a trouble of the journal alone."""
        world, logs = self._world, self._world.server.logs
        await asyncio.sleep(trouble.at)
        world.timeline.note(None, "TROUBLE", f"journal {trouble.mishap}", trouble.lasts)
        if trouble.mishap in LOSSES:
            logs.suffer(trouble.mishap)
            return
        begin = world.loop.now
        world.oracle.mishaps.append((begin, begin + trouble.lasts))
        logs.habits.mishaps.append(trouble.mishap)
        await asyncio.sleep(trouble.lasts)
        logs.habits.mishaps.remove(trouble.mishap)
        world.timeline.note(None, "mended", f"journal {trouble.mishap}")

    async def _deafen(self, trouble: Trouble, machine: Machine) -> None:
        """Make one subscription deaf for a while, without reporting a loss."""
        subscriptions = list(machine.adapter.subscriptions.values())
        if not subscriptions:
            return
        subscription = self._world.rng.choice(subscriptions)
        self._world.timeline.note(machine.host, "is deaf on", subscription.channel)
        subscription.deaf = True
        await asyncio.sleep(trouble.lasts)
        subscription.deaf = False

    def _restart(self, trouble: Trouble, machine: Machine) -> None:
        if trouble.restart:
            world = self._world
            fresh = world.machine(f"{machine.host.name}'", trouble.host)
            world.timeline.note(fresh.host, "is started")
