"""Peers that behave on the wire as the npm package does."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from resumable_stream._protocol.wire import V1_END
from resumable_stream._text.offsets import OffsetUnit
from simulation.sources import Run, Units

if TYPE_CHECKING:
    from resumable_stream import Loss
    from simulation.sources import Script
    from simulation.world import Machine, World

PREFIX = "resumable-stream:rs"
_DAY = 86_400
_ANSWER_TIMEOUT = 1.0
# A reader may come before the stream exists, and asks as soon as it sees the sentinel.
_LOOK_EVERY = 0.003
_LOOKS = 300
# Longer than any source pauses.
_SILENCE = 300.0


@dataclass(eq=False)
class TypeScriptReader:
    """Asks once, gives up after a second, and cannot repair.

    Attributes:
        texts: the messages that came; the first is the replay.
        complete: whether the end marker has come.
        asked: when it sent its request.
    """

    stream_id: str
    at: float
    offset: int
    texts: list[str] = field(default_factory=list)
    complete: bool = False
    asked: float | None = None

    async def run(self, world: World, machine: Machine, number: int) -> None:
        await asyncio.sleep(self.at)
        sentinel = f"{PREFIX}:sentinel:{self.stream_id}"
        for _ in range(_LOOKS):
            value = await machine.adapter.get(sentinel)
            if value == "DONE":
                return
            if value is not None:
                break
            await asyncio.sleep(_LOOK_EVERY)
        else:
            return
        world.server.increment(machine.adapter, sentinel)
        came = asyncio.Event()
        listener = f"typescript-{number}"

        def on_message(message: bytes) -> None:
            text = message.decode()
            if text == V1_END:
                self.complete = True
            elif not self.complete:
                self.texts.append(text)
            came.set()

        channel = f"{PREFIX}:chunk:{listener}"
        subscription = await machine.adapter.subscribe(channel, on_message, _ignore)
        request = {"listenerId": listener, "skipCharacters": self.offset}
        self.asked = world.loop.now
        await machine.adapter.publish(
            f"{PREFIX}:request:{self.stream_id}", json.dumps(request).encode()
        )
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT):
                await came.wait()
            world.timeline.note(machine.host, "a TypeScript reader is answered", self.offset)
            while not self.complete:
                came.clear()
                async with asyncio.timeout(_SILENCE):
                    await came.wait()
        except TimeoutError:
            pass
        finally:
            await subscription.aclose()


class TypeScriptProducer:
    """Numbers nothing, repeats nothing, and leaves its sentinel behind when it fails."""

    def __init__(self, world: World, machine: Machine, stream_id: str) -> None:
        self._world = world
        self._machine = machine
        self._stream_id = stream_id
        self._listeners: dict[str, None] = {}
        self._run: Run | None = None
        self._done = False

    async def run(self, script: Script) -> None:
        adapter, loop = self._machine.adapter, self._world.loop
        sentinel = f"{PREFIX}:sentinel:{self._stream_id}"
        run = self._run = Run(self._machine.host, loop.now, self._stream_id)
        run.fails = script.fails
        subscription = await adapter.subscribe(
            f"{PREFIX}:request:{self._stream_id}", self._on_request, _ignore
        )
        if not await adapter.create(sentinel, "1", ttl=_DAY):
            await subscription.aclose()  # the real package would increment it, and read instead
            return
        run.started = loop.now
        self._world.sources[self._stream_id].runs.append(run)
        for chunk, pause in zip(script.chunks, script.pauses, strict=False):
            if pause >= 0:
                await asyncio.sleep(pause)
            run.chunks.append(chunk)
            run.times.append(loop.now)
            self._publish(chunk, self._listeners)
            await asyncio.sleep(0)
        await asyncio.sleep(max(0.0, script.pauses[-1]))
        run.exhausted = run.closed = loop.now
        if not script.fails:
            await adapter.set(sentinel, "DONE", ttl=_DAY)
            self._done = True
            self._publish(V1_END, self._listeners)
        await asyncio.sleep(1.0)
        await subscription.aclose()

    def _on_request(self, message: bytes) -> None:
        try:
            fields = json.loads(message)
        except ValueError:
            return
        assert self._run is not None
        self._listeners[fields["listenerId"]] = None
        text = Units("".join(self._run.chunks), OffsetUnit.UTF16)
        self._publish(text.after_half(fields.get("skipCharacters", 0)), [fields["listenerId"]])
        if self._done:
            self._publish(V1_END, [fields["listenerId"]])

    def _publish(self, text: str, listeners: dict[str, None] | list[str]) -> None:
        server, adapter = self._world.server, self._machine.adapter
        messages = [(f"{PREFIX}:chunk:{one}", text.encode()) for one in listeners]
        loop = self._world.loop
        arrival = adapter.next_arrival()
        loop.at(arrival, None, lambda: server.publish(adapter, messages))


def _ignore(_loss: Loss) -> None:
    """Do nothing: the npm package does not notice losses."""
