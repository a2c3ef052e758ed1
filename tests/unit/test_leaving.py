"""A remote reader that leaves unsubscribes, says so, and does not wait long for the broker."""

from __future__ import annotations

import asyncio
import gc

import pytest

from resumable_stream import ResumableStream
from support.virtual_time import in_virtual_time, loop_time
from support.world import ID, LEASE, World, begin, rest, world


async def join(here: World) -> ResumableStream:
    context, _ = here.instance()
    stream = await context.resume_existing_stream(ID)
    assert isinstance(stream, ResumableStream)
    return stream


@pytest.mark.rule("P10")
@in_virtual_time
async def test_a_reader_at_its_end_unsubscribes_at_once() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        remote = await join(here)
        source.finish()
        assert await rest(remote) == ["a"]
        await asyncio.sleep(0.1)
        assert not here.brokers[1]._subscriptions


@pytest.mark.parametrize(
    ("where", "closed"), [("here", True), ("elsewhere", True), ("elsewhere", False)]
)
@in_virtual_time
async def test_a_stream_that_was_left_does_not_wake_its_loop_when_it_is_dropped(
    where: str, *, closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    async with world() as here:
        source, own, _ = await begin(here, "a")
        stream = own if where == "here" else await join(here)
        if closed:
            await stream.aclose()
        else:
            source.finish()
            assert await rest(stream) == ["a"]
        await asyncio.sleep(0.1)
        with monkeypatch.context() as patch:
            loop = asyncio.get_running_loop()
            patch.setattr(loop, "call_soon_threadsafe", lambda *call: calls.append(call))
            del stream
            if where == "here":
                del own
            gc.collect()
    assert not calls


@pytest.mark.rule("P4", "P10")
@in_virtual_time
async def test_a_reader_leaves_though_the_broker_stands_still() -> None:
    async with world() as here:
        await begin(here, "a")
        remote = await join(here)
        broker = here.brokers[1]
        broker.running.clear()
        await asyncio.sleep(LEASE / 3)  # by now it has sent a request, and waits for the broker
        began = loop_time()
        await remote.aclose()
        assert loop_time() - began < 3
        broker.running.set()


@pytest.mark.rule("LSN-4", "P10")
@in_virtual_time
async def test_a_reader_that_closes_at_the_end_says_that_it_leaves() -> None:
    async with world() as here:
        source, *_ = await begin(here, "a")
        remote = await join(here)
        broker = here.brokers[1]
        source.finish()
        broker.running.clear()
        assert await rest(remote) == ["a"]
        asked = len(broker.published)
        closing = asyncio.create_task(remote.aclose())
        await asyncio.sleep(0.5)
        broker.running.set()
        await closing
        assert [b'"leave"' in message for _, message in broker.published[asked:]] == [True]
