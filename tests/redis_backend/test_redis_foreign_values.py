"""Values that another program wrote, which are not text."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resumable_stream import (
    ProducerLostError,
    StreamState,
    create_resumable_stream_context,
)
from resumable_stream._protocol.names import Names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resumable_stream_redis import RedisBackend
    from support.servers import ValkeyServer

BYTES = b"\xff\xfe \xed\xa0\xbd\x00"
NAMES = Names("resumable-stream")


@pytest.mark.rule("KV-3")
async def test_what_is_not_text_can_be_compared_and_replaced(
    own: RedisBackend, valkey: ValkeyServer, name: str
) -> None:
    with valkey.client() as client:
        client.set(name, BYTES)
    there = await own.get(name)
    assert there is not None
    assert not await own.compare_and_set(name, BYTES.decode(errors="replace"), "text", ttl=5)
    assert await own.compare_and_set(name, there, "text", ttl=5)
    assert await own.get(name) == "text"


@pytest.mark.rule("SEN-8", "P3")
async def test_an_outcome_that_is_not_text_does_not_hold_the_end_up(
    own: RedisBackend, valkey: ValkeyServer, name: str
) -> None:
    last = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        yield "a"
        await last.wait()

    async with create_resumable_stream_context(backend=own) as streams:
        stream = await streams.create_new_resumable_stream(name, source)
        with valkey.client() as client:
            client.set(NAMES.outcome(name), BYTES, ex=60)
        last.set()
        assert [chunk async for chunk in stream] == ["a"]
        async with asyncio.timeout(5):
            while await own.get(NAMES.sentinel(name)) != "DONE":  # noqa: ASYNC110 - a key has no event
                await asyncio.sleep(0.01)
        assert (await streams.stream_status(name)).state is StreamState.COMPLETED


@pytest.mark.rule("SEN-8", "END-2")
async def test_an_end_whose_record_is_not_text_counts_as_lost(
    own: RedisBackend, valkey: ValkeyServer, name: str
) -> None:
    with valkey.client() as client:
        client.set(NAMES.outcome(name), BYTES, ex=60)
        client.set(NAMES.sentinel(name), "DONE", ex=60)
    async with create_resumable_stream_context(backend=own) as streams:
        assert (await streams.stream_status(name)).state is StreamState.LOST
        with pytest.raises(ProducerLostError):
            await streams.resume_existing_stream(name)
