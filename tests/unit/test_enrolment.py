"""The readers of one stream on one instance are heard as one listener."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from resumable_stream._protocol.wire import RequestType
from support.listening import begin, join
from support.signs import INTERVAL, TICK, leavers, meet_signs, requests, signs
from support.virtual_time import in_virtual_time, loop_time
from support.world import ID, LEASE, Source, rest, world


@pytest.mark.rule("LSN-4")
@in_virtual_time
async def test_readers_of_one_stream_share_their_sign_of_life() -> None:
    async with world() as here:
        await begin(here, "a")
        context, broker = here.instance()
        streams = [await join(context) for _ in range(50)]
        own = {request.listener_id for request in requests(broker)}
        await asyncio.sleep(4 * (INTERVAL + TICK))
        assert len(signs(broker)) == 4
        assert len({sign.listener_id for sign in signs(broker)} - own) == 1
        assert len(requests(broker)) == 50 + 4
        assert len(streams) == 50


@pytest.mark.rule("LSN-4")
@in_virtual_time
async def test_streams_that_are_joined_together_are_not_heard_together() -> None:
    async with world() as here:
        producing, _ = here.instance()
        context, broker = here.instance()
        streams = []
        for number in range(50):
            await producing.create_new_resumable_stream(f"{number}", Source("a"))
            streams.append(await context.resume_existing_stream(f"{number}"))
        asked = len(broker.published)
        await asyncio.sleep(INTERVAL * 0.6)
        assert 5 < len(broker.published) - asked < 45
        await asyncio.sleep(INTERVAL * 0.4 + TICK)
        assert len(broker.published) == asked + 50
        assert len(streams) == 50


@pytest.mark.rule("LSN-4", "END-3")
@in_virtual_time
async def test_a_sign_names_the_furthest_place_of_its_readers() -> None:
    async with world() as here:
        source, _ = await begin(here)
        context, broker = here.instance(window=4096)
        reading, stalled = await join(context), await join(context)
        for _ in range(100):
            source.put("a" * 200)
            await asyncio.sleep(0.01)
            assert await anext(reading) == "a" * 200
        await asyncio.sleep(INTERVAL + TICK)
        assert signs(broker)[-1].place == (100, 0)
        await reading.aclose()
        await asyncio.sleep(INTERVAL + TICK)
        place = signs(broker)[-1].place
        assert place is not None
        assert (0, 0) < place < (50, 0)
        await stalled.aclose()


@pytest.mark.rule("LSN-4", "END-3")
@in_virtual_time
async def test_a_producer_serves_a_reader_that_was_silent_for_long() -> None:
    async with world() as here:
        chunks = ["a" * 200] * 100
        source, local = await begin(here, *chunks)
        context, _ = here.instance(window=4096)
        stream = await join(context)
        source.finish()
        assert await rest(local) == chunks
        await asyncio.sleep(10 * LEASE)
        assert await rest(stream) == chunks


@pytest.mark.rule("LSN-4", "END-3", "P7")
@in_virtual_time
async def test_signs_are_no_progress() -> None:
    async with world() as here:
        chunks = ["a" * 200] * 100
        producing, broker = here.instance(linger_timeout=2 * LEASE, grace=0)
        source = Source(*chunks)
        local = await producing.create_new_resumable_stream(ID, source)
        # Out of step with the producer: a sign that comes when it gives a reader up enrols it.
        context, _ = here.instance(window=4096, heartbeat=1.7)
        stream = await join(context)
        await asyncio.sleep(LEASE)
        source.finish()
        assert await rest(local) == chunks
        await asyncio.sleep(LEASE)
        assert broker._subscriptions
        await asyncio.sleep(6 * LEASE)
        assert not broker._subscriptions, "it still serves a reader that does not read"
        await stream.aclose()


@pytest.mark.rule("LSN-4", "REQ-6")
@in_virtual_time
async def test_the_last_reader_takes_the_shared_id_along() -> None:
    async with world() as here:
        await begin(here, "a")
        context, broker = here.instance()
        first, last = await join(context), await join(context)
        await asyncio.sleep(INTERVAL + TICK)
        (sign,) = signs(broker)
        await first.aclose()
        assert len(leavers(broker)) == 1
        await asyncio.sleep(INTERVAL + TICK)
        assert len(signs(broker)) == 2, "the other reader is still there"
        await last.aclose()
        assert len(leavers(broker)) == 3
        assert sign.listener_id in leavers(broker)
        await asyncio.sleep(2 * INTERVAL)
        assert len(signs(broker)) == 2


@pytest.mark.rule("LSN-4")
@in_virtual_time
async def test_a_reader_that_comes_after_the_last_is_signed_for() -> None:
    async with world() as here:
        await begin(here, "a")
        context, broker = here.instance()
        former = await join(context)
        await former.aclose()
        stream = await join(context)
        await asyncio.sleep(INTERVAL + TICK)
        assert len(signs(broker)) == 1
        await stream.aclose()


@pytest.mark.rule("LSN-4", "P10")
@in_virtual_time
async def test_a_collected_reader_takes_the_shared_id_along() -> None:
    async with world() as here:
        await begin(here, "a")
        context, broker = here.instance()
        stream = await join(context)
        await asyncio.sleep(INTERVAL + TICK)
        del stream
        gc.collect()
        await asyncio.sleep(2 * INTERVAL)
        assert signs(broker)[0].listener_id in leavers(broker)
        assert len(signs(broker)) == 1


@pytest.mark.rule("LSN-4", "P8")
@in_virtual_time
async def test_a_reader_that_leaves_soon_sends_no_sign() -> None:
    async with world() as here:
        await begin(here, "a")
        context, broker = here.instance()
        stream = await join(context)
        await stream.aclose()
        await asyncio.sleep(2 * INTERVAL)
        asked, left = requests(broker)
        assert (asked.type, left.type) == (RequestType.READ, RequestType.LEAVE)


@pytest.mark.rule("P10")
@in_virtual_time
async def test_the_last_reader_leaves_no_timer_behind() -> None:
    async with world() as here:
        await begin(here, "a")
        context, _ = here.instance()
        stream = await join(context)
        await stream.aclose()
        assert context._binding.instance is not None
        assert not context._binding.instance.shared.ticks._due


@pytest.mark.rule("LSN-4", "P10")
@in_virtual_time
async def test_no_sign_follows_the_leave() -> None:
    async with world() as here:
        await begin(here, "a")
        context, broker = here.instance()
        stream = await join(context)
        begun, going_on = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            begun.set()
            await going_on.wait()

        meet_signs(broker, wait)
        await begun.wait()
        await stream.aclose()
        assert len(leavers(broker)) == 2
        going_on.set()
        await asyncio.sleep(2 * INTERVAL)
        assert not signs(broker)


@pytest.mark.rule("P8")
@in_virtual_time
async def test_a_reader_that_has_nothing_to_do_is_not_woken() -> None:
    async with world() as here:
        source, _ = await begin(here, "a")
        context, _ = here.instance()
        stream = await join(context)
        reader: Any = stream._reader
        assert await anext(stream) == "a"
        await asyncio.sleep(LEASE)
        woken: list[float] = []
        act = reader._dialect.act

        async def count() -> Any:
            woken.append(loop_time())
            return await act()

        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(type(reader._dialect), "act", lambda _listener: count())
            await asyncio.sleep(10 * LEASE)
            assert not woken
            here.brokers[0].away = True
            silent = loop_time()
            await asyncio.sleep(LEASE)
            assert LEASE / 4 < woken[0] - silent < LEASE / 2 + 2 * TICK, "silence was not noticed"
        here.brokers[0].away = False
        source.finish()
        await stream.aclose()
