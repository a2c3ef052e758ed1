"""W1 and W1b: nobody resumes; one process starts a stream and reads it beside its producer.

The source never waits (W1), or yields to the event loop after each chunk (W1b). It ends after a
number of chunks, or after some seconds if the contender holds it back. Only the server runs at the
same time. "Sent" is how many commands or messages the server received for each thousand chunks.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.stage import Workload, check_exact

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.stage import Metrics, Scale, Stage


def workloads(scale: Scale) -> list[Workload]:
    del scale
    return [
        Workload("W1", partial(_run, pace=None), _fits),
        Workload("W1b", partial(_run, pace=0), _fits),
    ]


def _fits(contender: Contender) -> bool:
    return contender.store or not (contender.remote and contender.kind == "floor")


async def _run(stage: Stage, *, pace: float | None) -> Metrics:
    scale, stream = stage.scale, stage.stream()
    async with stage.producer() as producer:
        # The first stream of a process connects, and on NATS creates the bucket.
        await producer.ask("produce", streams=[stage.stream()], chunks=2)
        check_exact("the own reader", (await producer.ask("finish"))["faults"])
        await producer.ask("forget")
        await producer.ask("prepare", streams=[stream], chunks=scale.alone_chunks)
        before = await stage.brokers.messages(stage.contender)
        await producer.ask(
            "produce",
            streams=[stream],
            chunks=scale.alone_chunks,
            pace=pace,
            limit=scale.alone_seconds,
        )
        finished = await producer.ask("finish")
        sent = await stage.brokers.messages(stage.contender) - before
    check_exact("the own reader", finished["faults"])
    count = finished["counts"][stream]
    return {
        "chunks_per_s": count / finished["seconds"],
        "lag_ms": finished["lag_ms"],
        "cpu_us": finished["cpu_seconds"] / count * 1e6,
        "sent": sent / count * 1000,
    }
