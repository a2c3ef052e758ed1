"""Drives Node processes that use the npm package ``resumable-stream``."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

PATIENCE = 30.0
# Several megabytes of text come in one line.
_LINE_LIMIT = 256 * 1024 * 1024


class PeerError(Exception):
    """A TypeScript call or stream has raised an error, or the process has gone."""


class Reading:
    """One call of the package, and the stream that it returned.

    Attributes:
        produces: the call ran the source.
        outcome: "reading", "over" (the package returned null) or "unknown" (undefined).
    """

    def __init__(self, peer: Peer, number: int) -> None:
        self.number = number
        self.produces = False
        self.outcome = ""
        self._peer = peer
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def take(self, event: dict[str, Any]) -> None:
        self._events.put_nowait(event)

    async def event(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            event = await self._events.get()
        if "error" in event:
            raise PeerError(event["error"])
        return event

    async def attached(self) -> Self:
        while not self.outcome:
            event = await self.event()
            self.produces = self.produces or "made" in event
            self.outcome = event.get("attached", "")
        return self

    async def chunk(self) -> str | None:
        """Return the next chunk; None at the end."""
        text: str | None = (await self.event()).get("chunk")
        return text

    async def chunks(self, count: int) -> list[str | None]:
        return [await self.chunk() for _ in range(count)]

    async def text(self, size: int) -> str:
        """Read at least ``size`` characters, or up to the end."""
        text = ""
        while len(text) < size and (chunk := await self.chunk()) is not None:
            text += chunk
        return text

    async def rest(self) -> str:
        """Read to the end."""
        texts = []
        while (chunk := await self.chunk()) is not None:
            texts.append(chunk)
        return "".join(texts)

    async def leave(self) -> None:
        await self._peer.tell("leave", reader=self.number)


class Peer:
    """One Node process; it is killed at the end of the ``async with`` block."""

    def __init__(self, node: str, program: Path, redis_url: str) -> None:
        self._command = (node, str(program))
        self._redis_url = redis_url
        self._numbers = itertools.count()
        self._readings: dict[int, Reading] = {}
        self._gone = False

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"REDIS_URL": self._redis_url},
            limit=_LINE_LIMIT,
        )
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.kill()
        await self._listening

    async def kill(self) -> None:
        """Kill the process at once (-9)."""
        if self._process.returncode is None:
            self._process.kill()
        await self.gone()

    async def gone(self) -> int:
        """Wait until the process has ended; return its exit status."""
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()

    async def start(
        self, stream: str, *chunks: str, skip: int | None = None, close: bool = False
    ) -> Reading:
        """Call the package's idempotent start; its source begins with these chunks."""
        return await self._attach("start", stream=stream, chunks=chunks, skip=skip, close=close)

    async def create(self, stream: str, *chunks: str, close: bool = False) -> Reading:
        return await self._attach("create", stream=stream, chunks=chunks, close=close)

    async def resume(self, stream: str, skip: int | None = None) -> Reading:
        return await self._attach("resume", stream=stream, skip=skip)

    async def resume_lastingly(self, stream: str) -> Reading:
        """Resume over clients that connect again when they lose their connection."""
        return await self._attach("resumeLastingly", stream=stream)

    async def exists(self, stream: str) -> object:
        return (await (await self.tell("exists", stream=stream)).event())["exists"]

    async def finds_over(self, stream: str) -> None:
        """Wait until the package finds the stream over."""
        async with asyncio.timeout(PATIENCE):
            while await self.exists(stream) != "DONE":  # noqa: ASYNC110 - the broker has no event
                await asyncio.sleep(0.01)

    async def feed(self, stream: str, *chunks: str, close: bool = False) -> None:
        """Let the stream's source yield the chunks; with ``close``, it ends at once."""
        await self.tell("feed", stream=stream, chunks=chunks, close=close)

    async def close(self, stream: str) -> None:
        await self.feed(stream, close=True)

    async def fail(self, stream: str) -> None:
        await self.tell("fail", stream=stream)

    async def tell(self, what: str, **fields: object) -> Reading:
        reading = Reading(self, next(self._numbers))
        self._readings[reading.number] = reading
        given = {name: value for name, value in fields.items() if value is not None}
        assert self._process.stdin is not None
        line = json.dumps({"id": reading.number, "do": what} | given)
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()
        return reading

    async def _attach(self, what: str, **fields: object) -> Reading:
        return await (await self.tell(what, **fields)).attached()

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        # A process that is killed may leave half a line.
        while (line := await self._process.stdout.readline()).endswith(b"\n"):
            event = json.loads(line)
            self._readings[event["id"]].take(event)
        for reading in self._readings.values():
            reading.take({"error": "the process has gone"})
