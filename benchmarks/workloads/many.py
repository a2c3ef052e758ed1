"""W4: many streams at a slow pace in one process, each with one listener in another.

500 streams of 20 chunks/s, and in W4/2000 2,000 streams of 5. "Delivered" is the part of the
expected chunks that has arrived. The memory is the growth of each side, for each stream, until all
texts are read; it includes what the measurement itself keeps. The processor's time for each chunk
includes the sources and the reader beside each; the bare source shows how much these take. The
producers' process, the listeners' process and the server run at the same time.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.contenders import HIREDIS, NATS_PY, NPM, SOURCE, Kind
from benchmarks.stage import Scale, Workload, check_exact

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.processes import Process
    from benchmarks.stage import Metrics, Stage

# Chunks/s of all streams together.
RATE = 10_000
# Of each stream of a crowd.
CROWD_RATE = RATE / Scale.crowd
_SLACK = 0.5


def workloads(scale: Scale) -> list[Workload]:
    return [
        Workload("W4", partial(crowd, streams=scale.streams, rate=RATE / Scale.streams), _fits),
        Workload("W4/2000", partial(crowd, streams=scale.crowd, rate=CROWD_RATE), _fits_crowd),
    ]


def _fits(contender: Contender) -> bool:
    return (contender.listens and contender.remote) or contender == SOURCE


def _fits_crowd(contender: Contender) -> bool:
    mine = contender.kind is Kind.OURS and contender.remote
    return mine or contender in {NPM, HIREDIS, NATS_PY}


async def crowd(
    stage: Stage, *, streams: int, rate: float, durability: str | None = None
) -> Metrics:
    """Measure streams of ``rate`` chunks/s; those that are kept are read once more afterwards."""
    names = [stage.stream() for _ in range(streams)]
    chunks = 1 + round(rate * stage.scale.streams_seconds)
    if not stage.contender.listens:
        return await _alone(stage, names, chunks, rate)
    async with stage.both(durability=durability) as (producer, consumer):
        for process in (producer, consumer):
            await process.ask("prepare", streams=names, chunks=chunks)
        before = [(await process.ask("gauges"))["memory"] for process in (producer, consumer)]
        await _begin(stage, producer, names, chunks, rate)
        await consumer.ask("attach", streams=names, chunks=chunks, timed=True)
        connections = await stage.brokers.connections(stage.contender)
        await consumer.ask("watch", lag=False)
        await producer.ask("release")
        finished, _ = await stage.to_the_end(producer, consumer)
        there = await consumer.ask("gauges")
        after = [(await process.ask("gauges"))["memory"] for process in (producer, consumer)]
        latency: Metrics = await consumer.ask("latencies", sent=await producer.ask("sent"))
        if durability:
            await producer.ask("settle", streams=names)
            await _read_again(stage, names, chunks, finished["counts"])
    grown = [(last - first) / streams / 1e3 for first, last in zip(before, after, strict=True)]
    return latency | {
        **_shares(finished, streams, chunks),
        "connections": connections,
        "listener_cpu_us": there["cpu_seconds"] * 1e6 / _count(finished, streams),
        "producer_kb": grown[0],
        "listener_kb": grown[1],
    }


async def _read_again(stage: Stage, names: list[str], chunks: int, counts: dict[str, int]) -> None:
    """Check that a process that comes afterwards gets all of each text."""
    async with stage.process("latecomer") as latecomer:
        await latecomer.ask("attach", streams=names, chunks=chunks)
        check_exact("a latecomer", (await latecomer.ask("read", counts=counts))["faults"])


async def _alone(stage: Stage, names: list[str], chunks: int, rate: float) -> Metrics:
    """Measure the sources and the readers beside them, without listeners."""
    async with stage.producer() as producer:
        await producer.ask("prepare", streams=names, chunks=chunks)
        await _begin(stage, producer, names, chunks, rate)
        await producer.ask("release")
        finished = await producer.ask("finish")
    check_exact("a reader beside its source", finished["faults"])
    return _shares(finished, len(names), chunks)


async def _begin(
    stage: Stage, producer: Process, names: list[str], chunks: int, rate: float
) -> None:
    """Start the streams, up to their gates."""
    await producer.ask(
        "produce",
        streams=names,
        chunks=chunks,
        gate_at=1,
        pace=1 / rate,
        spread=1 / rate,
        limit=stage.scale.streams_seconds + _SLACK,
        timed=True,
    )


def _count(finished: dict[str, Any], streams: int) -> int:
    """Return how many chunks came after the gate."""
    count: int = sum(finished["counts"].values()) - streams
    return count


def _shares(finished: dict[str, Any], streams: int, chunks: int) -> Metrics:
    count = _count(finished, streams)
    return {
        "delivered": 100 * count / streams / (chunks - 1),
        "cpu": 100 * finished["cpu_seconds"] / finished["elapsed"],
        "cpu_us": finished["cpu_seconds"] * 1e6 / count,
        "lag_ms": finished["lag_ms"],
    }
