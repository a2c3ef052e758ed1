"""Readers of the TypeScript package that leave a Python stream, or lose their connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import redis

from resumable_stream import create_resumable_stream_context
from resumable_stream_conformance import ObservedBackend
from resumable_stream_redis import RedisBackend
from support.servers import eventually
from typescript.source import Source

if TYPE_CHECKING:
    from typescript.peer import Peer, Reading

pytestmark = [pytest.mark.rule("P11"), pytest.mark.rule("V1-7")]


async def test_reader_that_left_is_published_to_no_more(
    typescript: Peer, redis_url: str, stream_id: str
) -> None:
    backend, source = ObservedBackend(RedisBackend(redis_url)), Source("so far ")
    async with create_resumable_stream_context(backend=backend) as streams:
        await streams.create_new_resumable_stream(stream_id, source)
        leaves, stays = [await typescript.resume(stream_id) for _ in range(2)]
        for reader in (leaves, stays):
            assert await reader.chunk() == "so far "

        async def cost_of_a_chunk() -> int:
            before = backend.calls["publish"]
            source.feed("more ")
            assert await stays.chunk() == "more "
            return backend.calls["publish"] - before

        assert await cost_of_a_chunk() == 2
        await leaves.leave()
        async with asyncio.timeout(20):
            while await cost_of_a_chunk() != 1:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.1)
        source.end()
        assert await stays.rest() == ""
    await backend.aclose()


async def test_reader_whose_connection_broke_goes_on(
    typescript: Peer, redis_url: str, stream_id: str
) -> None:
    source = Source("so far ")
    async with create_resumable_stream_context(redis_url) as streams:
        await streams.create_new_resumable_stream(stream_id, source)
        reader: Reading = await typescript.resume_lastingly(stream_id)
        assert await reader.chunk() == "so far "
        with redis.Redis.from_url(redis_url, decode_responses=True) as client:

            def subscribed() -> set[str]:
                """The connections over which the package is subscribed to something."""
                connections = client.client_list(_type="pubsub")
                theirs = [one for one in connections if one["lib-name"] == "node-redis"]
                return {one["id"] for one in theirs if one["sub"] != "0"}

            before = subscribed()
            assert len(before) == 1
            client.client_kill_filter(_id=min(before))
            await eventually(lambda: bool(subscribed() - before), "it to be connected again")
        source.feed("more ")
        assert await reader.chunk() == "more "
        source.end()
        assert await reader.chunk() is None
