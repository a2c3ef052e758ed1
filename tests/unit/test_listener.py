"""What a remote reader does when things go wrong."""

from __future__ import annotations

import asyncio
import gc
from itertools import pairwise
from typing import Any

import pytest

from resumable_stream import (
    HandshakeTimeoutError,
    StreamCancelledError,
    StreamFailedError,
)
from resumable_stream._protocol.names import live_id
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.wire import (
    decode_request,
    encode_frame,
)
from support.listening import begin, join, requests_of
from support.virtual_time import in_virtual_time, loop_time
from support.world import ID, LEASE, NAMES, SENTINEL, Source, data_frame, rest, world


@pytest.mark.rule("LSN-1")
@in_virtual_time
async def test_handshake_is_repeated_until_answered() -> None:
    async with world() as here:
        source, _ = await begin(here, "a")
        context, broker = here.instance()
        left = 3

        def drop(channel: str, _message: bytes) -> bool:
            nonlocal left
            left -= channel == NAMES.request(ID)
            return left >= 0

        broker.drop = drop
        stream = await join(context)
        source.finish()
        assert await rest(stream) == ["a"]


@pytest.mark.rule("LSN-1", "P4")
@in_virtual_time
async def test_unanswered_handshake_times_out() -> None:
    async with world() as here:
        await here.raw.set(SENTINEL, str(77 << 20), ttl=1000)
        context, _ = here.instance(handshake_timeout=3)
        began = asyncio.get_running_loop().time()
        with pytest.raises(HandshakeTimeoutError, match="3 s"):
            await context.resume_existing_stream(ID, 9)
        assert asyncio.get_running_loop().time() - began < 5


@pytest.mark.rule("LSN-1")
@in_virtual_time
async def test_start_takes_over_when_the_dead_ones_lease_ends() -> None:
    async with world() as here:
        await here.raw.set(SENTINEL, str(77 << 20), ttl=2)
        context, _ = here.instance()
        source = Source("a")
        source.finish()
        assert await rest(await context.resumable_stream(ID, source)) == ["a"]


@pytest.mark.rule("LSN-2", "P7")
@in_virtual_time
async def test_a_stalled_reader_holds_no_more_than_its_window() -> None:
    async with world() as here:
        chunks = [f"{number:05}" * 40 for number in range(3_000)]
        source, local = await begin(here)
        context, broker = here.instance(window=8_192)
        stream = await join(context)
        for at in range(0, len(chunks), 100):
            source.put(*chunks[at : at + 100])
            await asyncio.sleep(0.1)
        reader: Any = stream._reader
        assert reader.unread.room > -2 * 8_192
        asked = requests_of(broker)
        await asyncio.sleep(20 * LEASE)
        assert requests_of(broker) - asked < 120
        source.finish()
        assert await rest(stream) == chunks
        assert await rest(local) == chunks


@pytest.mark.rule("LSN-3", "P1")
@pytest.mark.parametrize("lost", [1, 2, 3, 7])
@in_virtual_time
async def test_gaps_are_repaired(lost: int) -> None:
    async with world() as here:
        source, _ = await begin(here, "0")
        producer = here.brokers[0]
        context, _ = here.instance()
        stream = await join(context)
        count = 0

        def drop(_channel: str, _message: bytes) -> bool:
            nonlocal count
            count += 1
            return count % (lost + 1) != 0

        producer.drop = drop
        for number in range(1, 50):
            source.put(str(number))
            await asyncio.sleep(0.05)
        source.finish()
        assert await rest(stream) == [str(number) for number in range(50)]


@pytest.mark.rule("LSN-3", "FRM-5")
@in_virtual_time
async def test_a_lost_last_chunk_is_noticed_without_any_notice() -> None:
    async with world() as here:
        source, _ = await begin(here, "a")
        producer = here.brokers[0]
        context, _ = here.instance()
        stream = await join(context)
        assert await anext(stream) == "a"
        producer.drop = lambda _channel, _message: True
        source.put("b")
        await asyncio.sleep(0.1)
        producer.drop = lambda _channel, _message: False
        async with asyncio.timeout(LEASE / 2):
            assert await anext(stream) == "b"


@pytest.mark.rule("LSN-3", "END-1", "END-2")
@in_virtual_time
async def test_a_lost_end_is_learnt_all_the_same() -> None:
    async with world() as here:
        source, _ = await begin(here, "a")
        context, _ = here.instance()
        stream = await join(context)
        here.brokers[0].drop = lambda _channel, _message: True
        source.put("b")
        source.finish(ValueError("x"))
        await asyncio.sleep(0.5)
        here.brokers[0].drop = lambda _channel, _message: False
        assert await anext(stream) == "a"
        assert await anext(stream) == "b"
        with pytest.raises(StreamFailedError, match="ValueError: x"):
            await anext(stream)


@pytest.mark.rule("LSN-4", "P10")
@in_virtual_time
async def test_a_dropped_reader_leaves_by_itself() -> None:
    async with world() as here:
        source, _ = await begin(here, "a")
        context, broker = here.instance()
        stream = await join(context)
        del stream
        gc.collect()
        await asyncio.sleep(0.1)
        assert not broker._subscriptions
        last = decode_request(broker.published[-1][1])
        assert last is not None
        assert last.type == "leave"
        assert not source.closed


@pytest.mark.rule("P9", "END-5")
@in_virtual_time
async def test_a_cancel_races_the_start() -> None:
    for turns in range(12):
        async with world() as here:
            starter, _ = here.instance()
            other, _ = here.instance()
            source = Source("a")
            start = asyncio.create_task(starter.create_new_resumable_stream(ID, source))
            for _ in range(turns):
                await asyncio.sleep(0)
            result = await other.cancel_stream(ID)
            stream = await start
            if result == "not_found":
                assert await other.cancel_stream(ID) == "cancelled"
            else:
                assert result == "cancelled"
            with pytest.raises(StreamCancelledError):
                await rest(stream)
            for context in (starter, other):
                with pytest.raises(StreamCancelledError):
                    await context.resume_existing_stream(ID)
                assert await context.cancel_stream(ID) == "already_over"
                assert await context.has_existing_stream(ID) == "DONE"


@pytest.mark.rule("P9", "P4")
@in_virtual_time
async def test_a_cancel_nobody_answers_says_so() -> None:
    async with world() as here:
        context, _ = here.instance()
        await here.raw.set(SENTINEL, str(77 << 20), ttl=5)
        assert await context.cancel_stream(ID) == "no_producer_answered"
        await here.raw.set(SENTINEL, str(77 << 20), ttl=500)
        assert await context.cancel_stream(ID) == "no_producer_answered"
        await here.raw.set(SENTINEL, "3", ttl=500)
        assert await context.cancel_stream(ID) == "no_producer_answered"


@pytest.mark.rule("LSN-4", "P1")
@in_virtual_time
async def test_a_reader_stays_enrolled_while_text_keeps_coming() -> None:
    async with world() as here:
        source, *_ = await begin(here)
        context, _ = here.instance()
        stream = await join(context)
        for _ in range(int(3 * LEASE / 0.2)):
            came = loop_time()
            source.put("x")
            assert await anext(stream) == "x"
            assert loop_time() < came + 0.02, "it was forgotten, and had to ask"
            await asyncio.sleep(0.2)


@pytest.mark.rule("LSN-4", "P1")
@in_virtual_time
async def test_a_reader_that_never_catches_up_lets_itself_be_heard() -> None:
    async with world() as here:
        await begin(here)
        context, broker = here.instance()
        stream = await join(context)
        request = decode_request(broker.published[0][1])
        assert request is not None
        assert request.generation is not None
        heard: list[float] = [loop_time()]

        def hear(channel: str, _message: bytes) -> bool:
            if channel == NAMES.request(ID):
                heard.append(loop_time())
                return True
            return False

        broker.drop = hear
        channel_id = live_id(ID, request.generation)
        for number in range(int(2 * LEASE / 0.1)):
            # ``end`` says that there is always more text than was sent.
            frame = data_frame(Place(number), b"x", generation=request.generation, end=number + 100)
            await here.raw.publish(NAMES.chunk(channel_id), encode_frame(channel_id, frame))
            assert await anext(stream) == "x"
            await asyncio.sleep(0.1)
        gaps = [after - before for before, after in pairwise(heard)]
        assert len(gaps) >= 9
        assert max(gaps) <= LEASE / 5 + 0.1
        await stream.aclose()
