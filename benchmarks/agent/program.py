"""A measured process: a producer, a consumer, or a web server, as its commands say.

``node/agent.mjs`` is the same program for the npm package.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import statistics
import time
from typing import TYPE_CHECKING, Any, cast

from benchmarks.agent.commands import run
from benchmarks.agent.gauges import LoopLag, cpu_seconds, memory
from benchmarks.agent.sources import Source
from benchmarks.agent.texts import CHUNK, Reading, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.agent.adapters import Adapter, Keeper
    from benchmarks.agent.web.serving import Serving

# How many streams are started, or attached to, at a time.
_AT_ONCE = 50


class Program:
    def __init__(self) -> None:
        self._adapter: Adapter
        self._serving: Serving | None = None
        self._lag = LoopLag()
        self._cpu = 0.0
        self._begun = 0
        self._texts: dict[str, str] = {}
        self._sources: dict[str, Source] = {}
        self._own: dict[str, Reading] = {}
        self._listeners: list[Reading] = []
        self._reading: set[asyncio.Task[None]] = set()

    async def do_open(self, adapter: str, url: str, **settings: str) -> None:
        module = importlib.import_module(f"benchmarks.agent.adapters.{adapter}")
        self._adapter = await module.create(url, **settings)

    async def do_prepare(self, streams: Sequence[str], chunks: int) -> None:
        """Create the texts now, so that this is not measured."""
        self._texts = {stream: text_of(stream, chunks) for stream in streams}

    async def do_produce(
        self,
        streams: Sequence[str],
        *,
        chunks: int,
        spread: float = 0.0,
        timed: bool = False,
        kept: bool = True,
        **settings: Any,
    ) -> dict[str, Any]:
        """Start the streams and a reader of each, and wait until the sources reach their gates.

        Without ``kept``, no text is kept, whatever the durability is. ``spread`` is the time over
        which the first chunks of the streams are distributed.
        """
        self._watch()
        begin = self._adapter.start if kept else cast("Keeper", self._adapter).start_unkept

        async def start(number: int, stream: str) -> None:
            text = self._text(stream, chunks)
            phase = spread * number / len(streams)
            source = Source(text, timed=timed, phase=phase, **settings)
            self._sources[stream] = source
            reading = self._own[stream] = Reading(stream, text, timed=timed)
            self._read(reading, await begin(stream, source))
            if settings.get("gate_at"):
                await source.at_gate.wait()

        for at in range(0, len(streams), _AT_ONCE):
            some = enumerate(streams[at : at + _AT_ONCE], at)
            await asyncio.gather(*(start(number, stream) for number, stream in some))
        return {"seconds": (time.monotonic_ns() - self._begun) / 1e9}

    async def do_serve(self, application: str, clients: int) -> int:
        """Serve one of the adapter's applications in ``agent.web``; return the port."""
        # Imported only here: other measured processes have neither the memory of a web server nor
        # its packages.
        limits, serving = (
            importlib.import_module(f"benchmarks.agent.web.{name}")
            for name in ("limits", "serving")
        )
        limits.allow_connections(clients)
        module, name = application.split(".")
        make = getattr(importlib.import_module(f"benchmarks.agent.web.{module}"), name)
        served: Serving = serving.Serving(make(self._adapter))
        self._serving = served
        return served.port

    async def do_watch(self, *, lag: bool = True) -> None:
        """Begin to measure; with ``lag=False`` not the loop's lag, which costs time itself."""
        self._watch()
        if not lag:
            await self._lag.aclose()

    async def do_release(self, *, lag: bool = True) -> None:
        """Open the gates, and measure from here on."""
        await self.do_watch(lag=lag)
        for source in self._sources.values():
            source.gate.set()

    async def do_finish(self) -> dict[str, Any]:
        """Wait until every own reader is at its end; return the measurements."""
        while waiting := [r for r in self._own.values() if not r.ended]:
            await waiting[0].has_ended.wait()
        counts = {stream: source.count for stream, source in self._sources.items()}
        ended = max(reading.ended for reading in self._own.values())
        return self._gauges() | {
            "seconds": (ended - self._begun) / 1e9,
            "counts": counts,
            "faults": faults_of(self._own.values(), counts),
        }

    async def do_settle(self, streams: Sequence[str], *, kept: bool = True) -> dict[str, Any]:
        """Wait until everybody can know that the streams are over; return the measurements."""
        await self._lag.aclose()
        adapter = cast("Keeper", self._adapter)
        for stream in streams:
            await adapter.settle(stream, kept=kept)
        return self._gauges()

    async def do_attach(
        self, streams: Sequence[str], *, chunks: int, mark: int = 0, timed: bool = False
    ) -> dict[str, Any]:
        """Attach a listener to each stream, and wait until all have read up to the mark."""
        asked = time.monotonic_ns()

        async def attach(stream: str) -> Reading:
            text = self._text(stream, chunks)
            reading = Reading(stream, text, mark=mark * CHUNK, timed=timed)
            self._listeners.append(reading)
            self._read(reading, await self._adapter.attach(stream))
            await reading.has_first.wait()
            return reading

        made: list[Reading] = []
        for at in range(0, len(streams), _AT_ONCE):
            made += await asyncio.gather(*map(attach, streams[at : at + _AT_ONCE]))
        for reading in made:
            await reading.has_caught_up.wait()
        return {
            "first_ms": statistics.median(reading.first - asked for reading in made) / 1e6,
            "caught_up_ms": max(reading.caught_up - asked for reading in made) / 1e6,
            "faults": [reading.fault for reading in made if reading.fault],
        }

    async def do_read(self, *, counts: dict[str, int] | None = None) -> dict[str, Any]:
        """Wait until every listener is at its end.

        ``counts`` says how many chunks each stream has; None if that is not known yet.
        """
        while waiting := [r for r in self._listeners if not r.ended]:
            await waiting[0].has_ended.wait()
        return {
            "ended_ns": max(reading.ended for reading in self._listeners),
            "delivered": sum(reading.position for reading in self._listeners) // CHUNK,
            "faults": faults_of(self._listeners, counts or {}),
        }

    async def do_sent(self) -> dict[str, list[int]]:
        return {stream: list(source.sent) for stream, source in self._sources.items()}

    async def do_latencies(
        self, sent: dict[str, list[int]], *, own: bool = False
    ) -> dict[str, float]:
        """Return how long the chunks took from the source to the listeners."""
        readings = self._own.values() if own else self._listeners
        found = sorted(
            latency for reading in readings for latency in reading.latencies(sent[reading.stream])
        )
        if not found:
            raise RuntimeError("no chunk came after the gate")
        return {
            "p50_ms": found[len(found) // 2] / 1e6,
            "p99_ms": found[len(found) * 99 // 100] / 1e6,
        }

    async def do_gauges(self) -> dict[str, Any]:
        return self._gauges() | {"memory": memory()}

    async def do_forget(self) -> None:
        """Drop all texts, so that they do not count as the contender's memory."""
        self._texts.clear()
        self._sources.clear()
        self._own.clear()
        self._listeners.clear()

    async def aclose(self) -> None:
        await self._lag.aclose()
        if self._serving is not None:
            await self._serving.aclose()
        for task in self._reading:
            task.cancel()
        await self._adapter.aclose()

    def _text(self, stream: str, chunks: int) -> str:
        return self._texts.get(stream) or text_of(stream, chunks)

    def _read(self, reading: Reading, stream: Any) -> None:
        task = asyncio.create_task(reading.run(stream))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    def _watch(self) -> None:
        # Collect the garbage of the measuring itself now, and not while it measures.
        gc.collect()
        self._lag.reset()
        self._cpu = cpu_seconds()
        self._begun = time.monotonic_ns()

    def _gauges(self) -> dict[str, Any]:
        return {
            "lag_ms": self._lag.worst * 1e3,
            "cpu_seconds": cpu_seconds() - self._cpu,
            "elapsed": (time.monotonic_ns() - self._begun) / 1e9,
            "released_ns": self._begun,
        }


def faults_of(readings: Any, counts: dict[str, int]) -> list[str]:
    found = [reading.fault for reading in readings if reading.fault]
    for reading in readings:
        count = counts.get(reading.stream, reading.position // CHUNK)
        if not reading.fault and reading.position != count * CHUNK:
            found.append(f"ended after {reading.position} of {count * CHUNK} characters")
    return found


if __name__ == "__main__":
    run(Program)
