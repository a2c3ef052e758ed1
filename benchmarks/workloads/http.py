"""W8, through HTTP: a client reads streams from a web server that is not the producer's process.

The server is uvicorn, with the same two routes for each contender, or Node.js's own `http`. The
client is a process with plain sockets: it keeps every byte with its time, and compares the text
with the source's when nothing is timed any longer. npm and the bodies of text send no events.

Behind buffered chunks (W8/1000 and so on), the times are from the request to the first chunk
("first") and to the last buffered one ("caught up") at the client; the source waits meanwhile. Two
contenders have no broker, and produce in the server's process: sse-starlette over a plain
generator, and "bare Starlette", the floor, which sends the finished events in pieces of 64 KiB.

Live (W8l), all clients read one stream of 200 chunks/s; 1,000 clients do so for a second. In W8m,
each of 2,000 clients reads one of 200 streams of 2 chunks/s, and another process asks for a
stream's status every 50 ms. In W8i, 5,000 clients wait on streams on which nothing happens: the
memory is the growth of the server's process for each of them, and the CPU is the part of a core
that the server uses meanwhile. The floor of these is "bare Starlette and hiredis": a generator fed
by an `asyncio.Queue` for each client.
"""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import cycle, islice
from typing import TYPE_CHECKING

from benchmarks.stage import Workload, check_exact

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.processes import Process
    from benchmarks.stage import Metrics, Scale, Stage

RATE = 200
_SLOW_RATE = 2
_STATUS_EVERY = 0.05
_SLACK = 0.5
# How many clients come within the patience of one command.
_AT_ONCE = 500


def workloads(scale: Scale) -> list[Workload]:
    sizes, clients = scale.buffered, scale.web_clients
    return [
        *(Workload(f"W8/{n}", partial(_catch_up, buffered=n), _any, web=True) for n in sizes),
        *(Workload(f"W8l/{n}", partial(_live, clients=n), _remote, web=True) for n in clients),
        Workload("W8m", _many, _remote, web=True),
        Workload("W8i", _idle, _remote, web=True),
    ]


def _any(contender: Contender) -> bool:
    del contender
    return True


def _remote(contender: Contender) -> bool:
    return contender.remote


async def _catch_up(stage: Stage, *, buffered: int) -> Metrics:
    stream, warm, chunks = stage.stream(), stage.stream(), buffered + 1
    async with stage.site(clients=2) as (producer, server, client, port):
        # A first client, so that the measured one does not pay for connecting and importing.
        await producer.ask("produce", streams=[warm], chunks=2, gate_at=1)
        await client.ask("attach", port=port, streams=[warm], chunks=2, mark=1)
        await producer.ask("produce", streams=[stream], chunks=chunks, gate_at=buffered)
        await server.ask("watch")
        await client.ask("attach", port=port, streams=[stream], chunks=chunks, mark=buffered)
        gauges = await server.ask("gauges")
        found = await client.ask("arrivals", mark=buffered)
        check_exact("the client", found["faults"])
        await producer.ask("release")
        await stage.to_the_end(producer, client)
    return {
        "first_ms": found["first_ms"],
        "caught_up_ms": found["caught_up_ms"],
        "lag_ms": gauges["lag_ms"],
        "server_cpu_us": gauges["cpu_seconds"] / buffered * 1e6,
    }


async def _live(stage: Stage, *, clients: int) -> Metrics:
    stream, scale = stage.stream(), stage.scale
    # No server can send more than some ten thousand events a second.
    seconds = min(scale.live_seconds, scale.web_deliveries / RATE / clients)
    chunks = 1 + round(RATE * seconds)
    async with stage.site(clients=clients) as (producer, server, client, port):
        await producer.ask(
            "produce",
            streams=[stream],
            chunks=chunks,
            gate_at=1,
            pace=1 / RATE,
            limit=seconds + _SLACK,
            timed=True,
        )
        await _attach(client, port, [stream] * clients, chunks)
        # Looking for the loop's lag would cost more time than sending to one client does.
        await server.ask("watch", lag=False)
        await producer.ask("release", lag=False)
        finished, _ = await stage.to_the_end(producer, client)
        gauges = await server.ask("gauges")
        latency: Metrics = await client.ask("latencies", sent=await producer.ask("sent"))
    count = finished["counts"][stream] - 1
    return latency | {
        "server_cpu_us": gauges["cpu_seconds"] / (count * clients) * 1e6,
        "rate": count / seconds,
    }


async def _many(stage: Stage) -> Metrics:
    scale = stage.scale
    streams = [stage.stream() for _ in range(scale.web_streams)]
    read = list(islice(cycle(streams), scale.web_readers))
    chunks = 1 + round(_SLOW_RATE * scale.web_seconds)
    async with (
        stage.site(clients=len(read) + 100) as (producer, server, client, port),
        stage.client("status") as asking,
    ):
        await producer.ask(
            "produce",
            streams=streams,
            chunks=chunks,
            gate_at=1,
            pace=1 / _SLOW_RATE,
            spread=1 / _SLOW_RATE,
            limit=scale.web_seconds + _SLACK,
            timed=True,
        )
        await _attach(client, port, read, chunks)
        await server.ask("watch", lag=False)
        await producer.ask("release", lag=False)
        await asking.ask("poll", port=port, path=f"/status/{streams[0]}", every=_STATUS_EVERY)
        finished, _ = await stage.to_the_end(producer, client)
        status: Metrics = await asking.ask("polled")
        gauges = await server.ask("gauges")
        latency: Metrics = await client.ask("latencies", sent=await producer.ask("sent"))
    count = sum(finished["counts"].values()) - len(streams)
    return latency | {
        "status_p50_ms": status["status_p50_ms"],
        "status_p99_ms": status["status_p99_ms"],
        "delivered": 100 * count / len(streams) / (chunks - 1),
        "cpu": 100 * gauges["cpu_seconds"] / gauges["elapsed"],
    }


async def _idle(stage: Stage) -> Metrics:
    scale = stage.scale
    streams = [stage.stream() for _ in range(scale.web_streams)]
    read = list(islice(cycle(streams), scale.web_idle))
    async with stage.site(clients=len(read) + len(streams)) as (producer, server, client, port):
        await producer.ask("produce", streams=streams, chunks=2, gate_at=1)
        # One client of each stream, so that the measured ones share what a stream costs.
        await _attach(client, port, streams, 2)
        before = (await server.ask("gauges"))["memory"]
        await _attach(client, port, read, 2)
        after = (await server.ask("gauges"))["memory"]
        await server.ask("watch", lag=False)
        # Measured for a fixed time, because there is no state to wait for: that of one heartbeat.
        await asyncio.sleep(scale.web_idle_seconds)
        idle = await server.ask("gauges")
    return {
        "memory_kb": (after - before) / len(read) / 1e3,
        "cpu": 100 * idle["cpu_seconds"] / idle["elapsed"],
    }


async def _attach(client: Process, port: int, streams: list[str], chunks: int) -> None:
    """Let a client come to each of the streams, and read its first chunk."""
    for at in range(0, len(streams), _AT_ONCE):
        some = streams[at : at + _AT_ONCE]
        await client.ask("attach", port=port, streams=some, chunks=chunks, mark=1)
