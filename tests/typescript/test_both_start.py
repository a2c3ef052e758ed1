"""Both sides start the same streams at once: one of them produces, both read."""

from __future__ import annotations

import asyncio
import random
import uuid
from typing import TYPE_CHECKING

import pytest
import redis

from typescript.source import Source, rest

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream import ResumableStream, ResumableStreamContext
    from typescript.peer import Peer, Reading

pytestmark = pytest.mark.rule("P5", "P11")


async def read_both(
    stream_id: str,
    typescript: Peer,
    source: Source,
    there: Reading,
    here: ResumableStream | None,
) -> None:
    """Check that one side produces, let its source end, and check that both sides read the text."""
    assert here is not None
    assert there.outcome == "reading"
    assert source.calls + there.produces == 1
    if source.calls:
        source.feed("second")
        source.end()
    else:
        await typescript.feed(stream_id, "second", close=True)
    expected = ("Python " if source.calls else "TypeScript ") + "second"
    assert await there.rest() == await rest(here) == expected


async def race(typescript: Peer, streams: ResumableStreamContext) -> None:
    stream_id = f"mixed-{uuid.uuid4()}"
    source = Source("Python ")

    async def there() -> Reading:
        # The command takes some time to reach the other process, so each side wins often.
        await asyncio.sleep(random.choice((0, 0, 0.001, 0.002, 0.004)))
        return await typescript.start(stream_id, "TypeScript ")

    readers = await asyncio.gather(there(), streams.resumable_stream(stream_id, source))
    await read_both(stream_id, typescript, source, *readers)


async def test_many_starts_have_one_producer(
    typescript: Peer, streams: ResumableStreamContext
) -> None:
    for _ in range(3):
        await asyncio.gather(*(race(typescript, streams) for _ in range(50)))


async def test_single_starts_have_one_producer(
    typescript: Peer, streams: ResumableStreamContext
) -> None:
    for _ in range(20):
        await race(typescript, streams)


async def test_claim_once_seen_is_answered(
    typescript: Peer,
    open_context: Callable[..., ResumableStreamContext],
    redis_url: str,
) -> None:
    """The package asks once, as soon as it sees the claim; the Python side connects only now."""
    with redis.Redis.from_url(redis_url) as client:
        for _ in range(20):
            stream_id = f"mixed-{uuid.uuid4()}"
            await typescript.exists(stream_id)
            source = Source("Python ")
            starting = asyncio.create_task(open_context().resumable_stream(stream_id, source))
            key = f"resumable-stream:rs:sentinel:{stream_id}"
            while not client.exists(key):  # noqa: ASYNC110 - the broker has no event
                await asyncio.sleep(0)
            there = await typescript.start(stream_id, "TypeScript ")
            assert not there.produces
            await read_both(stream_id, typescript, source, there, await starting)
