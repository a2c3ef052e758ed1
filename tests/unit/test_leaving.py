"""What a remote reader leaves behind, and how soon."""

from __future__ import annotations

import asyncio

import pytest

from resumable_stream import Options, ResumableStream
from resumable_stream._protocol.places import Start
from resumable_stream._reading.listener import Listener
from support.virtual_time import in_virtual_time, loop_time
from support.world import ID, LEASE, World, begin, rest, shared_on, world


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


@pytest.mark.rule("P4", "P10")
@in_virtual_time
async def test_a_reader_leaves_though_the_broker_stands_still() -> None:
    async with world() as here:
        await begin(here, "a")
        remote = await join(here)
        broker = here.brokers[1]
        broker.running.clear()
        await asyncio.sleep(LEASE / 3)  # by now it has asked, and waits for the broker
        began = loop_time()
        await remote.aclose()
        assert loop_time() - began < 3
        broker.running.set()


@pytest.mark.rule("LSN-6")
@pytest.mark.parametrize(("took", "troubled"), [(0.3, False), (0.5, True)])
def test_a_slow_answer_counts_as_trouble(took: float, *, troubled: bool) -> None:
    """Slow for its lease: half a second is nothing to a long one."""

    @in_virtual_time
    async def run() -> None:
        async with world() as here:
            for lease, expected in ((2.0, troubled), (LEASE, False)):
                reader = Listener(ID, 1, shared_on(here.raw, Options(lease=lease)), Start())
                reader._broker_answered(loop_time() - took)
                assert (reader._disturbed_at == loop_time()) is expected

    run()


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
