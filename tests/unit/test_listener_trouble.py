"""What a remote reader does when its producer or its broker goes away, or another one answers."""

from __future__ import annotations

import asyncio

import pytest

from resumable_stream import (
    NOT_FOUND,
    BackendUnavailableError,
    ContextClosedError,
    OffsetOutOfRangeError,
    ProducerLostError,
)
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.wire import (
    EndFrame,
    Refusal,
    RefusalFrame,
    decode_request,
    encode_frame,
)
from resumable_stream._text.endings import Ending, Status
from support.listening import begin, join
from support.virtual_time import in_virtual_time
from support.world import ID, LEASE, NAMES, SENTINEL, Source, data_frame, rest, world


@pytest.mark.rule("LSN-5", "P4")
@in_virtual_time
async def test_a_dead_producer_is_reported_within_a_lease() -> None:
    async with world() as here:
        source, _ = await begin(here, "abc")
        context, _ = here.instance()
        stream = await join(context)
        assert await anext(stream) == "abc"
        here.brokers[0].away = True  # to all others it looks dead
        began = asyncio.get_running_loop().time()
        with pytest.raises(ProducerLostError) as caught:
            await anext(stream)
        assert caught.value.offset == 3
        assert asyncio.get_running_loop().time() - began <= LEASE + 2
        assert await context.resume_existing_stream(ID) is NOT_FOUND
        source.finish()


@pytest.mark.rule("LSN-6", "P6")
@in_virtual_time
async def test_a_broker_restarted_empty_loses_nothing() -> None:
    async with world() as here:
        source, local = await begin(here, "0")
        context, _ = here.instance()
        stream = await join(context)
        for number in range(1, 10):
            for broker in here.brokers:
                broker.away = True
            source.put(str(number))
            await asyncio.sleep(number)
            await here.raw.delete(SENTINEL)
            for broker in here.brokers:
                broker.reconnect()
            await asyncio.sleep(number % 3)
        source.finish()
        texts = [str(number) for number in range(10)]
        assert await rest(stream) == texts
        assert await rest(local) == texts


@pytest.mark.rule("LSN-6", "P6")
@in_virtual_time
async def test_a_broker_that_stood_still_loses_nothing() -> None:
    async with world() as here:
        source, _ = await begin(here, "a")
        context, _ = here.instance()
        stream = await join(context)
        assert await anext(stream) == "a"
        for broker in here.brokers:
            broker.running.clear()
        source.put("b")
        await asyncio.sleep(2 * LEASE)
        assert await here.sentinel() is None
        # The reader's adapter goes on first, and finds no sentinel.
        for broker in reversed(here.brokers):
            broker.running.set()
            await asyncio.sleep(0.1)
        source.finish()
        assert await rest(stream) == ["b"]


@pytest.mark.rule("LSN-6", "END-4", "P6")
@in_virtual_time
async def test_an_end_during_an_outage_is_complete_after_it() -> None:
    async with world() as here:
        source, local = await begin(here, "a")
        context, _ = here.instance()
        stream = await join(context)
        for broker in here.brokers:
            broker.away = True
        source.put("b")
        source.finish()
        assert await rest(local) == ["a", "b"]
        await asyncio.sleep(2 * LEASE)
        for broker in here.brokers:
            broker.reconnect()
        assert await rest(stream) == ["a", "b"]


@pytest.mark.rule("LSN-7", "P4")
@in_virtual_time
async def test_a_broker_that_stays_away_ends_remote_readers_only() -> None:
    async with world() as here:
        source, local = await begin(here, "a")
        context, _ = here.instance(outage_timeout=30)
        stream = await join(context)
        assert await anext(stream) == "a"
        for broker in here.brokers:
            broker.away = True
        with pytest.raises(BackendUnavailableError, match="30 s"):
            await asyncio.wait_for(anext(stream), 60)
        source.put("b")
        assert [await anext(local) for _ in range(2)] == ["a", "b"]


@pytest.mark.rule("P3")
@in_virtual_time
async def test_closing_the_context_is_no_normal_end() -> None:
    async with world() as here:
        await begin(here, "a")
        context, _ = here.instance()
        stream = await join(context)
        await context.aclose()
        assert await anext(stream) == "a"
        with pytest.raises(ContextClosedError):
            await anext(stream)


@pytest.mark.rule("END-2", "P7")
@in_virtual_time
async def test_a_reader_overtaken_by_the_trimming_is_told() -> None:
    async with world() as here:
        context, _ = here.instance(buffer_limit=100)
        other, _ = here.instance(window=4_096)
        source = Source("x")
        local = await context.create_new_resumable_stream(ID, source)
        await asyncio.sleep(0.1)
        remote = await join(other)
        here.brokers[0].drop = lambda _channel, _message: True
        source.put(*["y" * 60] * 10)
        await asyncio.sleep(0.1)
        here.brokers[0].drop = lambda _channel, _message: False
        with pytest.raises(OffsetOutOfRangeError) as caught:
            await rest(remote)
        assert caught.value.start == 541
        with pytest.raises(OffsetOutOfRangeError, match="offset 0"):
            await rest(local)
        with pytest.raises(OffsetOutOfRangeError):
            await join(other, 5)


@pytest.mark.rule("LSN-3")
@in_virtual_time
async def test_a_loss_notice_is_followed_up_at_once() -> None:
    async with world() as here:
        source, _ = await begin(here, "a")
        context, broker = here.instance()
        stream = await join(context)
        assert await anext(stream) == "a"
        here.brokers[0].drop = lambda _channel, _message: True
        source.put("b")
        await asyncio.sleep(0.1)
        here.brokers[0].drop = lambda _channel, _message: False
        broker.reconnect()
        async with asyncio.timeout(0.1):
            assert await anext(stream) == "b"


@pytest.mark.rule("FRM-6", "P5")
@in_virtual_time
async def test_frames_of_other_generations_are_ignored() -> None:
    async with world() as here:
        source, _ = await begin(here, "a")
        context, broker = here.instance()
        stream = await join(context)
        request = decode_request(broker.published[0][1])
        assert request is not None
        for frame in (
            data_frame(Place(1), b"true", generation=request.generation or 0, end=2),
            data_frame(Place(2), b"false", generation=77, end=3),
            EndFrame(77, 3, Ending(Status.COMPLETED)),
            EndFrame(77, 3, Ending(Status.SUPERSEDED)),
        ):
            message = encode_frame(request.listener_id, frame)
            await here.raw.publish(NAMES.chunk(request.listener_id), message)
        await here.raw.publish(NAMES.chunk(request.listener_id), b"unframed")
        malformed = request.listener_id.encode() + b" {}"
        await here.raw.publish(NAMES.chunk(request.listener_id), malformed)
        await asyncio.sleep(0.1)
        source.put("b")
        source.finish()
        assert await rest(stream) == ["a", "true"]


@pytest.mark.rule("LSN-6", "FRM-6")
@in_virtual_time
async def test_a_zombies_refusal_after_a_loss_ends_no_reader() -> None:
    async with world() as here:
        source, _ = await begin(here, "a")
        context, broker = here.instance()
        stream = await join(context)
        assert await anext(stream) == "a"
        request = decode_request(broker.published[0][1])
        assert request is not None
        here.brokers[0].drop = lambda _channel, _message: True  # or its own producer answers first
        broker.reconnect()
        refusal = RefusalFrame(77, Refusal.OTHER_GENERATION)
        channel_id = request.listener_id
        await here.raw.publish(NAMES.chunk(channel_id), encode_frame(channel_id, refusal))
        await asyncio.sleep(1)
        here.brokers[0].drop = lambda _channel, _message: False
        source.put("b")
        source.finish()
        assert await rest(stream) == ["b"]
