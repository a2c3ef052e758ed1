"""W6: one process holds many streams on which nothing happens, each with its own reader.

The memory is the growth of resident memory for each stream. It includes the source and the reading
task of the measurement itself: the row of the bare source shows how much that is. The CPU is the
part of a core that the process uses while it waits. The commands are those that the server receives
meanwhile: renewals of leases, if the contender has any.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks.stage import Workload

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.stage import Metrics, Scale, Stage


def workloads(scale: Scale) -> list[Workload]:
    del scale
    return [Workload("W6", _run, _fits)]


def _fits(contender: Contender) -> bool:
    return contender.kind != "floor" or not contender.listens


async def _run(stage: Stage) -> Metrics:
    scale = stage.scale
    streams = [stage.stream() for _ in range(scale.idle_streams)]
    async with stage.producer() as producer:
        await producer.ask("produce", streams=[stage.stream()], chunks=2, gate_at=1)
        before = (await producer.ask("gauges"))["memory"]
        made = await producer.ask("produce", streams=streams, chunks=2, gate_at=1)
        after = (await producer.ask("gauges"))["memory"]
        commands = await stage.brokers.messages(stage.contender)
        await producer.ask("watch", lag=False)
        # Measured for a fixed time, because there is no state to wait for.
        await asyncio.sleep(scale.idle_seconds)
        idle = await producer.ask("gauges")
        commands = await stage.brokers.messages(stage.contender) - commands
    return {
        "memory_kb": (after - before) / len(streams) / 1e3,
        "cpu": 100 * idle["cpu_seconds"] / idle["elapsed"],
        "commands_per_s": commands / idle["elapsed"],
        "starts_per_s": len(streams) / made["seconds"],
    }
