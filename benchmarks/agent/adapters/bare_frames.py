"""The least that any resumable stream costs: the bare driver, with the source's chunks kept.

The source runs by itself, whether anybody reads or not. The chunks that came within a millisecond
are one message. Every reader is a cursor of its own and gets the source's chunks one by one. There
is no repair, no fencing, no lease and no bound. No library with chunks can be faster, so the
distance to the bare driver is the price of chunks. A separator that the benchmark's chunks never
contain stands between them, which is the fastest way to keep them.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

from benchmarks.agent.adapters.bare_hiredis import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from benchmarks.agent.adapters import MakeStream
    from benchmarks.agent.adapters.bare_hiredis import Hiredis

_PACE = 0.001
# The most chunks of one message: some 256 KB.
_PIECE = 6_000
_SEPARATOR = "\x1e"


class Log:
    """Chunks, and the readers that wait for more."""

    def __init__(self) -> None:
        self.chunks: list[str] = []
        self.ended = False
        self._waiters: list[asyncio.Future[None]] = []
        self._woken_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def add(self, chunks: list[str]) -> None:
        self.chunks += chunks
        if self._waiters and self._timer is None:
            due = self._woken_at + _PACE
            if self._loop.time() >= due:
                self.wake()
            else:
                self._timer = self._loop.call_at(due, self.wake)

    def wake(self) -> None:
        self._timer, self._woken_at = None, self._loop.time()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def changed(self) -> None:
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter


class Cursor:
    """Reads a log from its beginning, chunk by chunk."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._read = 0

    def __aiter__(self) -> Cursor:
        return self

    async def __anext__(self) -> str:
        while self._read == len(self._log.chunks):
            if self._log.ended:
                raise StopAsyncIteration
            await self._log.changed()
        chunk = self._log.chunks[self._read]
        self._read += 1
        return chunk


class Frames:
    def __init__(self, wire: Hiredis) -> None:
        self._wire = wire
        self._listeners: dict[str, list[Log]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked_for: set[str] = set()

    async def start(self, stream: str, make_stream: MakeStream) -> AsyncIterator[str]:
        log = Log()

        def on_request(listener: bytes) -> None:
            if stream not in self._asked_for:
                self._asked_for.add(stream)
                self._keep(self._follow(log, f"live.{stream}", len(log.chunks)))
            self._keep(self._reply(listener.decode(), log.chunks))

        await self._wire.subscribe(f"ask.{stream}", on_request)
        self._keep(self._fill(log, make_stream))
        return Cursor(log)

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fill(self, log: Log, make_stream: MakeStream) -> None:
        async for chunk in make_stream():
            log.add([chunk])
        log.ended = True
        log.wake()

    async def _reply(self, listener: str, chunks: list[str]) -> None:
        for at in range(0, len(chunks), _PIECE):
            await self._wire.publish(listener, encode(chunks[at : at + _PIECE]))

    async def _follow(self, log: Log, channel: str, sent: int) -> None:
        while True:
            if sent < len(log.chunks):
                frame, sent = encode(log.chunks[sent:]), len(log.chunks)
                await self._wire.publish(channel, frame)
            elif log.ended:
                break
            else:
                await log.changed()
        await self._wire.publish(channel, b"")

    async def attach(self, stream: str) -> AsyncIterator[str]:
        log, listener = Log(), f"listener.{uuid.uuid4().hex}"
        await self._wire.subscribe(listener, lambda frame: log.add(decode(frame)))
        followers = self._listeners.setdefault(stream, [])
        followers.append(log)
        if len(followers) == 1:
            await self._wire.subscribe(f"live.{stream}", handing_out(followers))
        await self._wire.publish(f"ask.{stream}", listener.encode())
        return Cursor(log)

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._wire.aclose()


def handing_out(followers: list[Log]) -> Callable[[bytes], None]:
    def hand_out(frame: bytes) -> None:
        chunks = decode(frame)
        for follower in followers:
            if frame:
                follower.add(chunks)
            else:
                follower.ended = True
                follower.wake()

    return hand_out


def encode(chunks: list[str]) -> bytes:
    return _SEPARATOR.join(chunks).encode()


def decode(frame: bytes) -> list[str]:
    return frame.decode().split(_SEPARATOR)


async def create(url: str) -> Frames:
    return Frames(await connect(url))
