"""W5: what a producer's process holds for its text, and what is left after short streams.

The memory is the growth of resident memory, after a collection, for each megabyte of text; the
server's memory is measured in the same way. Only the own reader reads, and it keeps nothing. A
contender that stores its text at the broker gets less text, because it is slow. "Left" is what
remains of each of 2,000 streams of five chunks, beyond what the 500 streams before them have left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.agent.texts import CHUNK
from benchmarks.stage import Workload, check_exact

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.processes import Process
    from benchmarks.stage import Metrics, Scale, Stage

_SHORT = 5
_AT_ONCE = 25


def workloads(scale: Scale) -> list[Workload]:
    del scale
    return [Workload("W5", _buffered, _fits), Workload("W5/left", _left, _fits)]


def _fits(contender: Contender) -> bool:
    return contender.kind != "floor"


async def _buffered(stage: Stage) -> Metrics:
    scale, stream = stage.scale, stage.stream()
    chunks = scale.memory_store_chunks if stage.contender.store else scale.memory_chunks
    async with stage.producer() as producer:
        await _run(producer, [stage.stream()])
        await producer.ask("prepare", streams=[stream], chunks=chunks + 1)
        before = (await producer.ask("gauges"))["memory"]
        at_server = await stage.brokers.memory(stage.contender)
        await producer.ask("produce", streams=[stream], chunks=chunks + 1, gate_at=chunks)
        after = (await producer.ask("gauges"))["memory"]
        server = await stage.brokers.memory(stage.contender) - at_server
        await producer.ask("release")
        check_exact("the own reader", (await producer.ask("finish"))["faults"])
    size = chunks * CHUNK
    return {"memory": (after - before) / size, "server": server / size}


async def _left(stage: Stage) -> Metrics:
    streams = stage.scale.short_streams
    async with stage.producer() as producer:
        await _run(producer, [stage.stream() for _ in range(streams // 4)])
        before = (await producer.ask("gauges"))["memory"]
        keys_before, _ = await stage.brokers.keys(stage.contender)
        await _run(producer, [stage.stream() for _ in range(streams)])
        after = await producer.ask("gauges")
        keys, eternal = await stage.brokers.keys(stage.contender)
    left: Metrics = {"left_kb": (after["memory"] - before) / streams / 1e3}
    # Only Redis is asked: NATS keeps removed keys among its messages for a while.
    if stage.contender.broker == "redis":
        left |= {"keys": (keys - keys_before) / streams, "eternal_keys": eternal}
    return left


async def _run(producer: Process, streams: list[str]) -> None:
    """Start the streams and read them to their ends, a few at a time."""
    for at in range(0, len(streams), _AT_ONCE):
        some = streams[at : at + _AT_ONCE]
        await producer.ask("produce", streams=some, chunks=_SHORT, pace=0)
        check_exact("an own reader", (await producer.ask("finish"))["faults"])
        await producer.ask("forget")
