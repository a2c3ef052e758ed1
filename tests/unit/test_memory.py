from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING

import pytest

from resumable_stream import Backend, Loss, create_resumable_stream_context
from resumable_stream_memory import MemoryBackend
from resumable_stream_memory._bus import MAX_PENDING_MESSAGES, _buses
from support.virtual_time import in_virtual_time, loop_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def test_it_is_a_backend() -> None:
    assert isinstance(MemoryBackend(), Backend)


@in_virtual_time
async def test_keys_expire_by_the_given_clock() -> None:
    backend = MemoryBackend("expiry", clock=loop_time)
    await backend.set("k", "v", ttl=10)
    await asyncio.sleep(9.9)
    assert await backend.get("k") == "v"
    await asyncio.sleep(0.2)
    assert await backend.get("k") is None
    await backend.aclose()


@in_virtual_time
async def test_expired_keys_take_no_room_for_ever() -> None:
    backend = MemoryBackend("sweep", clock=loop_time)
    for number in range(3_000):
        await backend.set(str(number), "v", ttl=1)
        await asyncio.sleep(0.01)
    assert backend._bus is not None
    assert len(backend._bus._keys) < 1_500
    await backend.aclose()


async def test_the_bus_goes_with_its_last_backend() -> None:
    first, second = MemoryBackend("shared"), MemoryBackend("shared")
    await first.set("k", "v", ttl=60)
    await first.aclose()
    assert await second.get("k") == "v"
    await second.aclose()
    third = MemoryBackend("shared")
    assert await third.get("k") is None
    del third
    gc.collect()
    assert "shared" not in _buses


async def test_a_flooded_subscription_is_told() -> None:
    backend = MemoryBackend("flood")
    got: list[bytes] = []
    losses: list[Loss] = []
    await backend.subscribe("c", got.append, losses.append)
    await backend.publish_many([("c", b"x")] * (MAX_PENDING_MESSAGES + 5))
    await asyncio.sleep(0)
    assert len(got) == MAX_PENDING_MESSAGES
    assert losses == [Loss.OVERFLOW]
    await backend.aclose()
    await asyncio.sleep(0)
    assert losses == [Loss.OVERFLOW, Loss.CLOSED]


@pytest.mark.rule("P1")
def test_contexts_meet_across_threads() -> None:
    """A web framework's test client runs the application on a loop in a thread of its own."""
    ready, joined, done = threading.Event(), threading.Event(), threading.Event()

    async def slow() -> AsyncIterator[str]:
        for number in range(50):
            yield f"{number} "
            await asyncio.to_thread(joined.wait, 10)

    async def produce() -> None:
        async with create_resumable_stream_context("memory://threads") as context:
            await context.create_new_resumable_stream("s", slow)
            ready.set()
            await asyncio.to_thread(done.wait, 30)

    async def consume() -> str:
        async with create_resumable_stream_context("memory://threads") as context:
            stream = await context.resume_existing_stream("s")
            assert stream
            joined.set()
            return "".join([chunk async for chunk in stream])

    thread = threading.Thread(target=lambda: asyncio.run(produce()))
    thread.start()
    try:
        assert ready.wait(10)
        assert asyncio.run(consume()) == "".join(f"{number} " for number in range(50))
    finally:
        done.set()
        thread.join()
