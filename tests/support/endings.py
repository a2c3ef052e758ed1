"""The ways in which a stream ends, and an application that stores its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.world import ID, OUTCOME, Source

if TYPE_CHECKING:
    from resumable_stream import ResumableStreamContext, StreamEnd
    from support.world import World


class Store:
    """Where an application keeps its answers."""

    def __init__(self, here: World) -> None:
        self.ends: list[StreamEnd] = []
        self.texts: list[str] = []
        self.recorded: list[bool] = []
        self.source = Source("so ", "far")
        self.source_closed: list[bool] = []
        self._here = here

    async def keep(self, end: StreamEnd) -> None:
        self.ends.append(end)
        self.source_closed.append(self.source.closed)
        self.recorded.append(await self._here.raw.get(OUTCOME) is not None)
        self.texts.append(end.text)


async def completed(context: ResumableStreamContext, store: Store) -> None:
    store.source.finish()
    await context.wait_for_end(ID)


async def failed(context: ResumableStreamContext, store: Store) -> None:
    store.source.finish(LookupError("no such model"))
    await context.wait_for_end(ID)


async def cancelled(context: ResumableStreamContext, _store: Store) -> None:
    assert await context.cancel_stream(ID) == "cancelled"


async def lost(context: ResumableStreamContext, _store: Store) -> None:
    await context.aclose(0)
