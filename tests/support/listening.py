"""Helpers for readers of a stream that another instance in virtual time produces."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resumable_stream import ResumableStream
from support.world import ID, NAMES, Source

if TYPE_CHECKING:
    from resumable_stream import ResumableStreamContext
    from support.world import Broker, World


async def begin(here: World, *chunks: str) -> tuple[Source, ResumableStream]:
    context, _ = here.instance()
    source = Source(*chunks)
    stream = await context.create_new_resumable_stream(ID, source)
    await asyncio.sleep(0.1)
    return source, stream


async def join(
    context: ResumableStreamContext, offset: int = 0, last_event_id: str | None = None
) -> ResumableStream:
    stream = await context.resume_existing_stream(ID, offset, last_event_id=last_event_id)
    assert isinstance(stream, ResumableStream)
    return stream


def requests_of(broker: Broker) -> int:
    return sum(channel == NAMES.request(ID) for channel, _ in broker.published)
