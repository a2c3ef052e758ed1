"""A user of the library who erases what is over."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resumable_stream import ResumableStreamError

if TYPE_CHECKING:
    from simulation.clock import Host
    from simulation.world import World


@dataclass
class Deletion:
    """One call of ``delete_stream``."""

    stream_id: str
    host: Host
    began: float
    ended: float | None = None
    result: object = None
    error: ResumableStreamError | None = None


async def delete(world: World, stream_id: str, at: float, number: int) -> None:
    await asyncio.sleep(at)
    alive = [machine for machine in world.machines if not machine.gone]
    if not alive:
        return
    machine = alive[number % len(alive)]
    record = Deletion(stream_id, machine.host, world.loop.now)
    world.deletions.append(record)

    async def call() -> None:
        try:
            record.result = await machine.context.delete_stream(stream_id)
        except ResumableStreamError as error:
            record.error = error
        record.ended = world.loop.now
        world.timeline.note(machine.host, "has deleted:", str(record.result), repr(record.error))

    world.timeline.note(machine.host, "deletes", stream_id)
    task = world.loop.start(machine.host, call(), "delete")
    await asyncio.wait({task, machine.died}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
