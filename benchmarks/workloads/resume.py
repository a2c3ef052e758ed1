"""W3: a listener in another process resumes at 0 of a stream with that many chunks buffered.

The time from the call to the first characters ("first"), and to the last buffered ones ("caught
up"). The source waits meanwhile; the producer's process, the listener's process and the server run
at the same time.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.stage import Workload, check_exact

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.stage import Metrics, Scale, Stage


def workloads(scale: Scale) -> list[Workload]:
    return [Workload(f"W3/{n}", partial(_run, buffered=n), _fits) for n in scale.buffered]


def _fits(contender: Contender) -> bool:
    return contender.listens


async def _run(stage: Stage, *, buffered: int) -> Metrics:
    stream, chunks = stage.stream(), buffered + 1
    async with stage.both() as (producer, consumer):
        for process in (producer, consumer):
            await process.ask("prepare", streams=[stream], chunks=chunks)
        # A first listener, so that the measured one does not pay for connecting and importing.
        warm = stage.stream()
        await producer.ask("produce", streams=[warm], chunks=2, gate_at=1)
        await consumer.ask("attach", streams=[warm], chunks=2)
        await producer.ask("produce", streams=[stream], chunks=chunks, gate_at=buffered)
        for process in (producer, consumer):
            await process.ask("watch")
        attached = await consumer.ask("attach", streams=[stream], chunks=chunks, mark=buffered)
        gauges, there = await producer.ask("gauges"), await consumer.ask("gauges")
        check_exact("the listener", attached["faults"])
        await producer.ask("release")
        await stage.to_the_end(producer, consumer)
    # In one process the CPU of the two sides cannot be told apart.
    split = {"listener_cpu_ms": there["cpu_seconds"] * 1e3}
    return (split if stage.contender.remote else {}) | {
        "first_ms": attached["first_ms"],
        "caught_up_ms": attached["caught_up_ms"],
        "lag_ms": gauges["lag_ms"],
        "cpu_ms": gauges["cpu_seconds"] * 1e3,
    }
