"""A node of a cluster dies while streams start, are joined, run, end and are cancelled."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from resumable_stream import (
    BackendUnavailableError,
    ResumableStream,
    ResumableStreamContext,
    StreamCancelledError,
    create_resumable_stream_context,
)
from support.nats_servers import NatsCluster, NatsServer
from support.servers import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STREAMS = 30
STEP = 0.1
CHUNKS = [f"{number} \N{ROCKET}" for number in range(15)]


async def source() -> AsyncIterator[str]:
    for chunk in CHUNKS:
        yield chunk
        await asyncio.sleep(STEP)


async def read(reader: ResumableStream | None) -> str:
    """Read to the end, and return the name of the ending."""
    if reader is None:
        return "completed"
    chunks: list[str] = []
    try:
        async for chunk in reader:
            chunks.append(chunk)  # noqa: PERF401 - what was read before an error is checked, too
    except StreamCancelledError:
        assert chunks == CHUNKS[: len(chunks)]
        return "cancelled"
    assert chunks == CHUNKS
    return "completed"


async def join(context: ResumableStreamContext, stream_id: str) -> str:
    try:
        reader = await context.resume_existing_stream(stream_id)
    except StreamCancelledError:
        return "cancelled"
    assert reader is None or isinstance(reader, ResumableStream)
    return await read(reader)


async def live(contexts: list[ResumableStreamContext], number: int) -> bool:
    """Start, join and perhaps cancel one stream; return False if the broker was away for a call."""
    here, there, elsewhere = (contexts[(number + shift) % 3] for shift in range(3))
    stream_id = f"stream {number}"
    await asyncio.sleep(number * STEP)
    try:
        started = await here.create_new_resumable_stream(stream_id, source)
    except BackendUnavailableError:
        return False
    reading = [asyncio.create_task(read(started)), asyncio.create_task(join(there, stream_id))]
    if number % 3 == 0:
        await asyncio.sleep(5 * STEP)
        await asyncio.gather(elsewhere.cancel_stream(stream_id), return_exceptions=True)
    local, remote = await asyncio.gather(*reading, return_exceptions=True)
    assert local in ("completed", "cancelled")
    assert remote == local or isinstance(remote, BackendUnavailableError), remote
    return remote == local


@pytest.mark.long
@pytest.mark.timeout(180)
@pytest.mark.parametrize("victim", range(3))
async def test_node_may_die_at_any_stage_of_a_stream(victim: int) -> None:
    with NatsCluster() as cluster:
        async with AsyncExitStack() as stack:
            contexts = [
                await stack.enter_async_context(
                    create_resumable_stream_context(cluster.url_from(number))
                )
                for number in range(3)
            ]
            assert not any([await each.has_existing_stream("none") for each in contexts])
            lives = [asyncio.create_task(live(contexts, number)) for number in range(STREAMS)]
            # By then half of the streams have begun, some are over, and each is at another stage.
            await asyncio.sleep(STREAMS * STEP / 2)
            cluster.nodes[victim].kill()
            outcomes = await asyncio.gather(*lives)
        assert sum(outcomes) > STREAMS / 3
        living = cluster.living()
        await eventually(lambda: not any(map(NatsServer.subjects, living)), "all to be left")
        assert all("Nats-TTL" in headers for headers in living[0].headers())
