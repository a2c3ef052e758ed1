"""W2 and W2u: listeners in another process follow a stream while its source goes on.

In W2 the source yields 200 chunks a second. In W2u it yields as fast as it can, with a turn of the
event loop after each chunk. All listeners attach before and read the stream's first chunk. A
delivery is one chunk that one listener has received; its latency is the time from the source's
`yield` to the listener. The producer's own reader, the listeners' process and the server run at the
same time.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.processes import RunFailedError
from benchmarks.stage import Workload

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.stage import Metrics, Scale, Stage

RATE = 200
_SLACK = 0.5


def workloads(scale: Scale) -> list[Workload]:
    sizes = scale.listeners
    return [
        *(Workload(f"W2/{n}", partial(paced, listeners=n), _fits) for n in sizes),
        *(Workload(f"W2u/{n}", partial(_unpaced, listeners=n), _fits) for n in sizes),
    ]


def _fits(contender: Contender) -> bool:
    return contender.listens


async def paced(stage: Stage, *, listeners: int, durability: str | None = None) -> Metrics:
    """Measure the latency of a stream of ``RATE`` chunks/s."""
    stream, seconds = stage.stream(), stage.scale.live_seconds
    chunks = 1 + round(RATE * seconds)
    async with stage.both(durability=durability) as (producer, consumer):
        await producer.ask(
            "produce",
            streams=[stream],
            chunks=chunks,
            gate_at=1,
            pace=1 / RATE,
            limit=seconds + _SLACK,
            timed=True,
        )
        await consumer.ask("attach", streams=[stream] * listeners, chunks=chunks, timed=True)
        await producer.ask("release")
        finished, _ = await stage.to_the_end(producer, consumer)
        sent = await producer.ask("sent")
        latency: Metrics = await consumer.ask("latencies", sent=sent)
        own = await producer.ask("latencies", sent=sent, own=True)
    return latency | {
        "own_p50_ms": own["p50_ms"],
        "own_p99_ms": own["p99_ms"],
        "lag_ms": finished["lag_ms"],
        "rate": (finished["counts"][stream] - 1) / seconds,
    }


async def _unpaced(stage: Stage, *, listeners: int) -> Metrics:
    stream, scale = stage.stream(), stage.scale
    chunks = 1 + min(scale.unpaced_chunks, scale.unpaced_deliveries // listeners)
    async with stage.both() as (producer, consumer):
        await producer.ask(
            "produce",
            streams=[stream],
            chunks=chunks,
            gate_at=1,
            pace=0,
            limit=scale.alone_seconds,
        )
        await consumer.ask("attach", streams=[stream] * listeners, chunks=chunks)
        await consumer.ask("watch")
        await producer.ask("release")
        finished, read = await stage.to_the_end(producer, consumer)
        after, there = await producer.ask("gauges"), await consumer.ask("gauges")
    delivered = (finished["counts"][stream] - 1) * listeners
    if not delivered:
        raise RunFailedError("no chunk came after the gate")
    # In one process the CPU of the two sides cannot be told apart.
    split = {"listener_cpu_us": there["cpu_seconds"] / delivered * 1e6}
    return (split if stage.contender.remote else {}) | {
        "deliveries_per_s": delivered / (read["ended_ns"] - finished["released_ns"]) * 1e9,
        # Until the last listener has everything, and not only the own reader.
        "cpu_us": after["cpu_seconds"] / delivered * 1e6,
        "lag_ms": after["lag_ms"],
    }
