"""The measured client: plain sockets, which keep what comes and check it when nothing is timed."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any

from benchmarks.agent.commands import run
from benchmarks.agent.texts import CHUNK, text_of
from benchmarks.agent.web.exchange import Exchange
from benchmarks.agent.web.limits import allow_connections

if TYPE_CHECKING:
    from collections.abc import Sequence

# How many responses are asked for at a time.
_AT_ONCE = 50


class Client:
    def __init__(self) -> None:
        self._texts: dict[str, bytes] = {}
        self._exchanges: list[Exchange] = []
        self._asked = 0
        self._polling: asyncio.Task[None] | None = None
        self._polls: list[tuple[int, Exchange]] = []

    async def do_open(self, adapter: str | None, url: str) -> None:
        """Do nothing: the client knows nothing of contenders and brokers."""

    async def do_attach(self, port: int, streams: Sequence[str], *, chunks: int, mark: int) -> None:
        """Ask for each stream, and wait until all responses have come up to the mark."""
        allow_connections(len(self._exchanges) + len(streams))
        for stream in {*streams} - self._texts.keys():
            self._texts[stream] = text_of(stream, chunks).encode()
        made = [Exchange(f"/streams/{s}", s, self._chunk(s, mark - 1)) for s in streams]
        self._exchanges += made
        self._asked = time.monotonic_ns()
        for at in range(0, len(made), _AT_ONCE):
            some = made[at : at + _AT_ONCE]
            await asyncio.gather(*(exchange.begin(port) for exchange in some))
            for exchange in some:
                await exchange.has_caught_up.wait()

    async def do_arrivals(self, *, mark: int) -> dict[str, Any]:
        """Return when the first and the last chunk before the mark came to the latest client."""
        latest = self._exchanges[-1]
        received = latest.received()
        if fault := received.early_fault(self._texts[latest.stream]):
            return {"faults": [fault]}
        times = list(received.arrivals())[:mark]
        return {
            "first_ms": (times[0] - self._asked) / 1e6,
            "caught_up_ms": (times[-1] - self._asked) / 1e6,
            "faults": [] if len(times) == mark else [f"ended after {len(times)} of {mark} chunks"],
        }

    async def do_read(self, *, counts: dict[str, int] | None = None) -> dict[str, Any]:
        """Wait until every response has ended; with the number of chunks, check them, too."""
        for exchange in self._exchanges:
            await exchange.has_ended.wait()
        faults: list[str] = []
        for exchange in self._exchanges if counts is not None else ():
            assert counts is not None  # noqa: S101
            size = counts[exchange.stream] * CHUNK
            fault = exchange.received().fault(self._texts[exchange.stream][:size])
            faults += [fault] if fault else []
        return {"ended_ns": max(e.ended for e in self._exchanges), "faults": faults}

    async def do_latencies(self, sent: dict[str, list[int]]) -> dict[str, float]:
        """Return how long the chunks took from the source to here, without each stream's first."""
        found: list[int] = []
        for exchange in self._exchanges:
            times = zip(exchange.received().arrivals(), sent[exchange.stream], strict=False)
            next(times, None)
            found += [came - went for came, went in times]
        return _percentiles(found)

    async def do_poll(self, port: int, path: str, *, every: float) -> None:
        """Begin to ask for the path at a fixed pace, however long the answers take."""

        async def ask() -> None:
            exchange, asked = Exchange(path), time.monotonic_ns()
            await exchange.begin(port)
            self._polls.append((asked, exchange))

        async def go_on() -> None:
            due = time.monotonic()
            while True:
                due += every
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await ask()

        await ask()
        self._polling = asyncio.create_task(go_on())

    async def do_polled(self) -> dict[str, float]:
        """End it, and return how long the answers took."""
        assert self._polling is not None  # noqa: S101
        if self._polling.done():
            await self._polling
        self._polling.cancel()
        await asyncio.wait({self._polling})
        for _, exchange in self._polls:
            await exchange.has_ended.wait()
            if failure := exchange.received().failure():
                raise RuntimeError(f"a status request failed: {failure}")
        found = _percentiles([exchange.ended - asked for asked, exchange in self._polls])
        return {f"status_{name}": value for name, value in found.items()}

    async def aclose(self) -> None:
        if self._polling is not None:
            self._polling.cancel()

    def _chunk(self, stream: str, number: int) -> bytes:
        return self._texts[stream][number * CHUNK : (number + 1) * CHUNK]


def _percentiles(found: list[int]) -> dict[str, float]:
    if not found:
        raise RuntimeError("nothing came after the gate")
    found.sort()
    return {
        "p50_ms": statistics.median_low(found) / 1e6,
        "p99_ms": found[len(found) * 99 // 100] / 1e6,
    }


if __name__ == "__main__":
    run(Client)
