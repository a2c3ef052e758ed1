"""W9, the text is kept: what the journal costs while a stream runs, and gives after its end.

A stream keeps its text with a durability: at its end ("exit"), each second ("async"), or before
anybody reads it ("sync"). Text rests at the broker, or in a SQLite file on the disk of /tmp.

Nobody resumes (W9/exit and so on): the source yields to the event loop after each chunk, as in W1b.
Two processes take turns, one of which keeps nothing (None): "beside None" is the median of their
ratios. The time is until the reader beside the producer is at the end; the processor's time is that
of the producer's process until the text is kept.

W9c counts what the server receives of a slow stream, and W9c/exit and so on what it receives if the
text is kept there: 1,000 chunks take 30 seconds, of which 6 are measured, with the start and the
end. On NATS the bytes are those of messages alone.

In W9r, a process reads a stream again that has ended, when its producer's process is gone. It was
kept with "async", as fast as it went, which gives large records; the thousand chunks of W9r/slow
were kept with "sync" over six seconds, which gives some 300 small ones. In W9m
many streams run at once with "async", as in W4/2000, and afterwards another process reads all of
them again. W9l and W9l/sync are as W2/1, without and with the journal before each reader.
"""

from __future__ import annotations

import statistics
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.contenders import Kind
from benchmarks.stage import Workload, check_exact
from benchmarks.workloads.live import paced
from benchmarks.workloads.many import CROWD_RATE, crowd

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.processes import Process
    from benchmarks.stage import Metrics, Scale, Stage

DURABILITIES = ("exit", "async", "sync")
# Seconds from chunk to chunk of a slow stream.
_PACE = 0.03
_SLACK = 0.5


def workloads(scale: Scale) -> list[Workload]:
    def kept(name: str, durability: str) -> Workload:
        return Workload(name, partial(_beside_none, durability=durability), _fits, keeps=True)

    return [
        *(kept(f"W9/{one}", one) for one in DURABILITIES),
        Workload("W9c", _count, _counts),
        *(Workload(f"W9c/{one}", partial(_count, durability=one), _mine) for one in DURABILITIES),
        *(
            Workload(f"W9r/{n}", partial(_read_again, chunks=n), _fits, keeps=True)
            for n in scale.buffered
        ),
        Workload("W9r/slow", _read_slow_again, _fits, keeps=True),
        Workload(
            "W9m",
            partial(crowd, streams=scale.crowd, rate=CROWD_RATE, durability="async"),
            _fits,
            keeps=True,
        ),
        Workload("W9l", partial(paced, listeners=1), _fits, keeps=True),
        Workload("W9l/sync", partial(paced, listeners=1, durability="sync"), _fits, keeps=True),
    ]


def _fits(contender: Contender) -> bool:
    """Take ours that other processes can read."""
    return _mine(contender) or contender.journal is not None


def _mine(contender: Contender) -> bool:
    """Take ours on the loop of asyncio, whose text rests at the broker."""
    mine = contender.kind is Kind.OURS and contender.environment == "main"
    return mine and contender.remote and contender.journal is None


def _counts(contender: Contender) -> bool:
    return contender.store or _mine(contender)


async def _beside_none(stage: Stage, *, durability: str) -> Metrics:
    """Compare streams that are kept with others of the same process, by turns."""
    found: dict[bool, list[Metrics]] = {False: [], True: []}
    async with stage.producer(durability) as process:
        for keeps in found:
            # The first stream of a context connects, and on NATS creates the bucket.
            await _produce(process, stage.stream(), chunks=2, kept=keeps)
        for turn in range(stage.scale.kept_turns):
            for keeps in (bool(turn % 2), not turn % 2):
                stream, chunks = stage.stream(), stage.scale.kept_chunks
                found[keeps].append(await _produce(process, stream, chunks=chunks, kept=keeps))
    plain, kept = found[False], found[True]
    rates, costs = _ratios(plain, kept, "chunks_per_s"), _ratios(plain, kept, "cpu_us")
    return {
        **{name: statistics.median(one[name] for one in kept) for name in kept[0]},
        "rate_beside": 100 * statistics.median(rates),
        "cpu_beside": 100 * statistics.median(costs),
    }


def _ratios(plain: list[Metrics], kept: list[Metrics], name: str) -> list[float]:
    return [one[name] / other[name] for other, one in zip(plain, kept, strict=True)]


async def _produce(
    producer: Process, stream: str, *, chunks: int, pace: float = 0.0, kept: bool = True
) -> Metrics:
    """Run one stream until its text is kept, if it is to be; by default as fast as it goes."""
    await producer.ask("prepare", streams=[stream], chunks=chunks)
    await producer.ask("produce", streams=[stream], chunks=chunks, pace=pace, kept=kept)
    finished = await producer.ask("finish")
    settled = await producer.ask("settle", streams=[stream], kept=kept)
    check_exact("the own reader", finished["faults"])
    await producer.ask("forget")
    return {
        "chunks_per_s": chunks / finished["seconds"],
        "lag_ms": settled["lag_ms"],
        "cpu_us": settled["cpu_seconds"] / chunks * 1e6,
    }


async def _count(stage: Stage, *, durability: str | None = None) -> Metrics:
    seconds, stream = stage.scale.kept_seconds, stage.stream()
    chunks = round(seconds / _PACE)
    async with stage.producer(durability) as producer:
        for name, number, pace in ((stage.stream(), 2, 0.0), (stream, chunks, _PACE)):
            commands = await stage.brokers.messages(stage.contender)
            size = await stage.brokers.received(stage.contender)
            limit = seconds + _SLACK
            await producer.ask("produce", streams=[name], chunks=number, pace=pace, limit=limit)
            check_exact("the own reader", (await producer.ask("finish"))["faults"])
            if stage.contender.kind is Kind.OURS:
                await producer.ask("settle", streams=[name])
        commands = await stage.brokers.messages(stage.contender) - commands
        size = await stage.brokers.received(stage.contender) - size
    return {"sent": commands / chunks * 1000, "received_kb": size / chunks}


async def _read_slow_again(stage: Stage) -> Metrics:
    chunks, seconds = stage.scale.buffered[0], stage.scale.kept_seconds
    return await _read_again(stage, chunks=chunks, durability="sync", pace=seconds / chunks)


async def _read_again(
    stage: Stage, *, chunks: int, durability: str = "async", pace: float = 0.0
) -> Metrics:
    warm, stream = stage.stream(), stage.stream()
    async with stage.producer(durability) as producer:
        await _produce(producer, warm, chunks=2)
        await _produce(producer, stream, chunks=chunks, pace=pace)
    async with stage.process("consumer") as consumer:
        await consumer.ask("prepare", streams=[stream], chunks=chunks)
        # A first reader, so that the measured one does not pay for connecting and importing.
        await consumer.ask("attach", streams=[warm], chunks=2)
        await consumer.ask("watch")
        attached = await consumer.ask("attach", streams=[stream], chunks=chunks, mark=chunks)
        there = await consumer.ask("gauges")
        read = await consumer.ask("read", counts={warm: 2, stream: chunks})
    check_exact("the reader", read["faults"])
    return {
        "first_ms": attached["first_ms"],
        "caught_up_ms": attached["caught_up_ms"],
        "lag_ms": there["lag_ms"],
        "listener_cpu_ms": there["cpu_seconds"] * 1e3,
    }
