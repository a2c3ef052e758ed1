"""A journal in virtual time that a test can disturb, and look into."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resumable_stream import (
    BackendUnavailableError,
    Options,
    OutcomeUnknownError,
    create_resumable_stream_context,
)
from resumable_stream._protocol.records import decode_record
from resumable_stream._protocol.sentinel import Outcome, generation_of
from resumable_stream._protocol.wire import DataFrame, EndFrame
from resumable_stream_memory import MemoryJournal
from support.virtual_time import loop_time
from support.world import ID, LEASE, NAMES, OUTCOME, Broker, Source

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from resumable_stream import ResumableStreamContext
    from support.world import World


class Notebook(MemoryJournal):
    """An adapter whose connection a test can disturb.

    Attributes:
        away: every call fails, as certainly not executed.
        lose_replies: how many appends are executed, and then say that nobody knows.
        lose_writes: how many appends are not executed, and say that nobody knows.
        appends: how many records were written.
        calls: how many calls were made.
        meanwhile: called before each append, if given.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, clock=loop_time)
        self.away = False
        self.error: Exception = BackendUnavailableError("the journal is away")
        self.lose_replies = 0
        self.lose_writes = 0
        self.appends = 0
        self.calls = 0
        self.meanwhile: Callable[[], Any] | None = None

    async def append(self, log: str, index: int, record: bytes, *, ttl: int) -> bool:
        if self.meanwhile is not None:
            await self.meanwhile()
        await self._check()
        if self.lose_writes:
            self.lose_writes -= 1
            raise OutcomeUnknownError("not executed, but who knows")
        written = await super().append(log, index, record, ttl=ttl)
        self.appends += written
        if self.lose_replies:
            self.lose_replies -= 1
            raise OutcomeUnknownError("executed, but who knows")
        return written

    async def read(self, log: str, index: int, *, max_bytes: int) -> list[bytes]:
        await self._check()
        return await super().read(log, index, max_bytes=max_bytes)

    async def delete(self, log: str) -> None:
        await self._check()
        await super().delete(log)

    async def _check(self) -> None:
        self.calls += 1
        if self.away:
            await asyncio.sleep(0.1)
            raise self.error


def journaled(
    here: World, durability: str | None = "async", **options: Any
) -> tuple[ResumableStreamContext, Broker, Notebook]:
    """Return a new instance that keeps its text, with its adapters."""
    broker, notebook = Broker(here.bus), Notebook(here.bus)
    chosen: dict[str, Any] = {"lease": LEASE, "durability": durability} | options
    context = create_resumable_stream_context(
        backend=broker, journal=notebook, options=Options(**chosen)
    )
    here.contexts.append(context)
    here.brokers.append(broker)
    return context, broker, notebook


async def kept(here: World, generation: int) -> tuple[list[str], list[str]]:
    """Return the text that the journal has of a generation, by record, and how it ends."""
    notebook = MemoryJournal(here.bus, clock=loop_time)
    texts: list[str] = []
    ends: list[str] = []
    log, index = NAMES.journal(ID, generation), 0
    while records := await notebook.read(log, index, max_bytes=1):
        index += len(records)
        for record in records:
            for frame in decode_record(ID, generation, record):
                match frame:
                    case DataFrame():
                        texts.append("".join(frame.texts))
                    case EndFrame():
                        ends.append(str(frame.ending.status))
    await notebook.aclose()
    return texts, ends


async def produced(
    here: World, chunks: list[str], durability: str = "async", error: Exception | None = None
) -> int:
    """Produce a stream to its end, close its context, and let the grace pass."""
    context, _, _ = journaled(here, durability)
    source = Source(*chunks)
    source.finish(error)
    stream = await context.create_new_resumable_stream(ID, source)
    run = generation_of(await here.sentinel() or "")
    await stream.aclose()
    await asyncio.sleep(2)
    await context.aclose()
    await asyncio.sleep(120)
    return run


async def died(here: World, *chunks: str, durability: str = "async") -> int:
    """Let a producer die, as far as the broker can tell, once its text is written."""
    context, broker, notebook = journaled(here, durability)
    source = Source(*chunks)
    await context.create_new_resumable_stream(ID, source)
    run = generation_of(await here.sentinel() or "")
    await asyncio.sleep(3)
    broker.away = notebook.away = True
    await asyncio.sleep(16)
    assert await here.sentinel() is None
    return run


def ending_with(*chunks: str) -> Source:
    source = Source(*chunks)
    source.finish()
    return source


async def generation(here: World) -> int:
    return generation_of(await here.sentinel() or "")


async def outcome(here: World) -> Outcome:
    found = Outcome.decode(await here.raw.get(OUTCOME))
    assert found is not None
    return found
