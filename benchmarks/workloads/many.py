"""W4: many streams at a slow pace in one process, each with one listener in another.

"Delivered" is the part of the expected chunks that has arrived. The memory is the growth of each
side, for each stream, until all texts are read; it includes what the measurement itself keeps. The
producers' process, the listeners' process and the server run at the same time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.stage import Workload

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.stage import Metrics, Scale, Stage

RATE = 20
_SLACK = 0.5


def workloads(scale: Scale) -> list[Workload]:
    del scale
    return [Workload("W4", _run, _fits)]


def _fits(contender: Contender) -> bool:
    return contender.listens and contender.remote


async def _run(stage: Stage) -> Metrics:
    scale = stage.scale
    streams = [stage.stream() for _ in range(scale.streams)]
    chunks = 1 + round(RATE * scale.streams_seconds)
    async with stage.both() as (producer, consumer):
        for process in (producer, consumer):
            await process.ask("prepare", streams=streams, chunks=chunks)
        before = [(await process.ask("gauges"))["memory"] for process in (producer, consumer)]
        await producer.ask(
            "produce",
            streams=streams,
            chunks=chunks,
            gate_at=1,
            pace=1 / RATE,
            spread=1 / RATE,
            limit=scale.streams_seconds + _SLACK,
            timed=True,
        )
        await consumer.ask("attach", streams=streams, chunks=chunks, timed=True)
        connections = await stage.brokers.connections(stage.contender)
        await producer.ask("release")
        finished, _ = await stage.to_the_end(producer, consumer)
        after = [(await process.ask("gauges"))["memory"] for process in (producer, consumer)]
        latency: Metrics = await consumer.ask("latencies", sent=await producer.ask("sent"))
    count = sum(finished["counts"].values()) - len(streams)
    grown = [(last - first) / len(streams) / 1e3 for first, last in zip(before, after, strict=True)]
    return latency | {
        "delivered": 100 * count / len(streams) / (chunks - 1),
        "connections": connections,
        "cpu": 100 * finished["cpu_seconds"] / finished["elapsed"],
        "lag_ms": finished["lag_ms"],
        "producer_kb": grown[0],
        "listener_kb": grown[1],
    }
