"""The users of the library: clients that read, leave and come back, and others that cancel."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from resumable_stream import (
    BackendError,
    HandshakeTimeoutError,
    ProducerLostError,
    ResumableStream,
    ResumableStreamError,
    StreamExistsError,
    StreamHistoryChangedError,
)

if TYPE_CHECKING:
    from simulation.clock import Host
    from simulation.troubles import ClientPlan
    from simulation.world import Machine, World

_MAX_VISITS = 12


@dataclass(eq=False)
class Visit:
    """One call of a client, and what it read, until it ended."""

    stream_id: str
    host: Host
    began: float
    how: str
    offset: int
    event_id: str | None
    prompt: bool
    replay: bool = True
    attached: float | None = None
    reader: str = ""
    generation: int | None = None
    chunks: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    event_ids: list[str | None] = field(default_factory=list)
    first_event_id: str | None = None
    offsets: list[int] = field(default_factory=list)
    ending: str = ""
    """``complete``, ``error``, ``none``, ``not found``, ``left``, ``cancelled`` or ``killed``."""
    error: ResumableStreamError | None = None
    ended: float = 0.0

    def __str__(self) -> str:
        start = self.event_id or self.offset
        return (
            f"visit ({self.how} at {start}) on {self.host.name} from {self.began - 1000:.4f}, "
            f"{self.reader or 'no'} reader, {len(self.chunks)} chunks, "
            f"{self.ending} {self.error!r} at {self.ended - 1000:.4f}"
        )


class Client:
    """Tries to read all of a stream, and comes back, to any machine, until it succeeds."""

    def __init__(self, world: World, stream_id: str, plan: ClientPlan) -> None:
        self._world = world
        self._stream_id = stream_id
        self._plan = plan
        self._rng = world.rng
        self._stream: ResumableStream | None = None

    async def run(self) -> None:
        world, plan = self._world, self._plan
        await asyncio.sleep(plan.at)
        offset, event_id = plan.offset, self._borrowed()
        machine: Machine | None = None
        for _ in range(_MAX_VISITS):
            if machine is None or machine.gone or plan.moves:
                alive = [one for one in world.machines if not one.gone]
                if not alive:
                    return
                machine = self._rng.choice(alive)
            visit = await self._visit(machine, offset, event_id)
            if visit.ending in {"complete", "none"} or self._is_final(visit):
                return
            if visit.chunks:
                offset = visit.offsets[-1]
                event_id = visit.event_ids[-1] if self._rng.random() < plan.by_event else None
            if visit.ending in {"not found", "error"}:
                if isinstance(visit.error, ProducerLostError | StreamHistoryChangedError):
                    offset, event_id = 0, None  # the text of that run is gone
                await asyncio.sleep(self._rng.uniform(0, world.plan.options.lease / 2))

    def _borrowed(self) -> str | None:
        """Return an event id that another client of the stream was given, if this one takes it."""
        if not self._plan.borrows:
            return None
        visits = [one for one in self._world.visits if one.stream_id == self._stream_id]
        known = [event_id for visit in visits for event_id in visit.event_ids if event_id]
        return self._rng.choice(known) if known else None

    @staticmethod
    def _is_final(visit: Visit) -> bool:
        passing = BackendError | HandshakeTimeoutError | ProducerLostError
        if isinstance(visit.error, StreamHistoryChangedError | StreamExistsError):
            return False
        return visit.error is not None and not isinstance(visit.error, passing)

    async def _visit(self, machine: Machine, offset: int, event_id: str | None) -> Visit:
        world, plan = self._world, self._plan
        how = "resume"
        if plan.starts:
            how = "create" if plan.create and not world.visits else "start"
        visit = Visit(
            self._stream_id,
            machine.host,
            world.loop.now,
            how,
            offset,
            event_id,
            plan.prompt,
            plan.replay,
        )
        if how == "create":
            visit.event_id = None
        world.visits.append(visit)
        world.timeline.note(machine.host, "a client calls", how, visit.event_id or offset)
        task = world.loop.start(machine.host, self._read(machine, visit), "reader")
        died = machine.died
        try:
            await asyncio.wait(
                {task, died}, timeout=plan.cancelled_after, return_when=asyncio.FIRST_COMPLETED
            )
            if not task.done() and not died.done():
                task.cancel()
                await asyncio.wait({task, died}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                visit.ending = "killed"
        if task.done() and not task.cancelled():
            task.result()  # raises errors that no client should see
        self._stream = None
        if not visit.ending:
            visit.ending = "cancelled"
        visit.ended = world.loop.now
        world.timeline.note(machine.host, "a client ends:", visit.ending, repr(visit.error))
        return visit

    async def _read(self, machine: Machine, visit: Visit) -> None:
        try:
            stream = await self._call(machine, visit)
        except ResumableStreamError as error:
            visit.error, visit.ending = error, "error"
            return
        if stream is None:
            visit.ending = "none"
            return
        if not isinstance(stream, ResumableStream):
            assert not stream
            visit.ending = "not found"
            return
        reader: Any = stream._reader
        speaker = getattr(reader, "_dialect", reader)
        visit.attached = self._world.loop.now
        visit.reader = type(speaker).__name__
        visit.generation = getattr(speaker, "_generation", None)
        visit.first_event_id = stream.last_event_id
        self._world.readers.append(reader)
        try:
            await self._take(stream, visit)
        except StopAsyncIteration:
            visit.ending = "complete"
        except ResumableStreamError as error:
            visit.error, visit.ending = error, "error"
        else:
            visit.ending = "left"
        finally:
            if self._plan.leaves_by == "aclose":
                await stream.aclose()

    async def _call(self, machine: Machine, visit: Visit) -> object:
        context = machine.context
        source = self._world.sources[self._stream_id].on(context)
        match visit.how:
            case "create":
                return await context.create_new_resumable_stream(
                    self._stream_id, source, visit.offset
                )
            case "start":
                sources = self._world.sources[self._stream_id]
                continues = self._world.plan.continues and context._options.durability
                more = sources.more_on(context) if continues else None
                return await context.resumable_stream(
                    self._stream_id,
                    source,
                    visit.offset,
                    last_event_id=visit.event_id,
                    replay=visit.replay,
                    continue_lost=more,
                )
            case _:
                return await context.resume_existing_stream(
                    self._stream_id,
                    visit.offset,
                    last_event_id=visit.event_id,
                    replay=visit.replay,
                )

    async def _take(self, stream: ResumableStream, visit: Visit) -> None:
        plan, world = self._plan, self._world
        impatient = 40 if plan.patience is not None else 0
        while plan.stays is None or len(visit.chunks) < plan.stays:
            if plan.pause:
                await asyncio.sleep(self._rng.uniform(0, plan.pause))
            try:
                if impatient:
                    chunk = await _within(plan.patience, stream)
                else:
                    chunk = await anext(stream)
            except TimeoutError:
                impatient -= 1
                continue
            visit.chunks.append(chunk)
            visit.times.append(world.loop.now)
            visit.offsets.append(stream.offset)
            visit.event_ids.append(stream.last_event_id)


async def _within(seconds: float | None, stream: ResumableStream) -> str:
    """Take a chunk in time. A task cannot raise StopAsyncIteration, so None stands for the end."""

    async def take() -> str | None:
        try:
            return await anext(stream)
        except StopAsyncIteration:
            return None

    chunk = await asyncio.wait_for(take(), seconds)
    if chunk is None:
        raise StopAsyncIteration
    return chunk


@dataclass
class Cancel:
    """One call of ``cancel_stream``."""

    stream_id: str
    host: Host
    began: float
    ended: float | None = None
    result: object = None
    error: ResumableStreamError | None = None


async def cancel(world: World, stream_id: str, at: float, number: int) -> None:
    await asyncio.sleep(at)
    alive = [machine for machine in world.machines if not machine.gone]
    if not alive:
        return
    machine = alive[number % len(alive)]
    record = Cancel(stream_id, machine.host, world.loop.now)
    world.cancels.append(record)

    async def call() -> None:
        try:
            record.result = await machine.context.cancel_stream(stream_id)
        except ResumableStreamError as error:
            record.error = error
        record.ended = world.loop.now
        world.timeline.note(machine.host, "has cancelled:", str(record.result), repr(record.error))

    world.timeline.note(machine.host, "cancels", stream_id)
    task = world.loop.start(machine.host, call(), "cancel")
    await asyncio.wait({task, machine.died}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
