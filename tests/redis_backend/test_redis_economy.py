"""What a stream costs on the server, by the server's own count. [P8, P10]"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resumable_stream import Options, create_resumable_stream_context
from support.servers import ValkeyServer, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def source() -> AsyncIterator[str]:
    for number in range(1000):
        yield f"{number} "


TEXT = "".join(f"{number} " for number in range(1000))

COUNTED = ("get", "set", "del", "publish", "subscribe", "unsubscribe", "eval", "evalsha")


def counts(server: ValkeyServer) -> dict[str, int]:
    with server.client() as client:
        stats = client.info("commandstats")
    return {name: stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in COUNTED}


@pytest.mark.rule("P8")
async def test_unread_stream_costs_no_publish(valkey: ValkeyServer, name: str) -> None:
    subscribed = asyncio.Event()

    async def held() -> AsyncIterator[str]:
        await subscribed.wait()
        async for chunk in source():
            yield chunk

    at_once = Options(grace=0)
    async with create_resumable_stream_context(redis_url=valkey.url, options=at_once) as ctx:
        # Once this stream has ended, the server knows the script.
        await ctx.create_new_resumable_stream("first", source)
        await eventually(lambda: counts(valkey)["evalsha"] == 1, "the first stream to end")
        await eventually(lambda: counts(valkey)["unsubscribe"] == 1, "the first one to be left")
        before = counts(valkey)
        stream = await ctx.create_new_resumable_stream(name, held)
        await eventually(
            lambda: counts(valkey)["subscribe"] > before["subscribe"], "the producer to listen"
        )
        subscribed.set()
        assert "".join([chunk async for chunk in stream]) == TEXT
        await eventually(
            lambda: counts(valkey)["unsubscribe"] > before["unsubscribe"], "the stream to be left"
        )
        after = counts(valkey)
    used = {command: after[command] - before[command] for command in COUNTED}
    # The claim, the outcome and DONE; the script's own GET and SET are counted too.
    assert used == {
        "get": 1,
        "set": 3,
        "del": 0,
        "publish": 0,
        "subscribe": 1,
        "unsubscribe": 1,
        "eval": 0,
        "evalsha": 1,
    }


@pytest.mark.rule("P10")
async def test_closed_context_leaves_keys_that_expire(valkey: ValkeyServer, name: str) -> None:
    soon = Options(grace=1)
    async with (
        create_resumable_stream_context(redis_url=valkey.url, options=soon) as here,
        create_resumable_stream_context(redis_url=valkey.url, options=soon) as there,
    ):
        for number in range(10):
            local = await here.create_new_resumable_stream(f"{name}:{number}", source)
            remote = await there.resume_existing_stream(f"{name}:{number}")
            assert "".join([chunk async for chunk in local]) == TEXT
            if remote:
                assert "".join([chunk async for chunk in remote]) == TEXT
        with valkey.client() as client:
            await eventually(lambda: not client.pubsub_channels(), "every channel to be left")
    with valkey.client() as client:
        await eventually(lambda: len(client.client_list()) == 1, "every connection to be closed")
        assert all(client.ttl(key) > 0 for key in client.scan_iter())
