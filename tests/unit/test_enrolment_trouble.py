"""What becomes of a sign of life concerns every reader that it was sent for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resumable_stream import BackendUnavailableError, ProducerLostError, ResumableStream
from resumable_stream._reading.liveness import Sighting, Verdict
from support.listening import begin, join
from support.signs import INTERVAL, TICK, leavers, meet_signs, signs
from support.virtual_time import in_virtual_time, loop_time
from support.world import world


class Stuck:
    """A subscription that takes for ever to end."""

    async def aclose(self) -> None:
        await asyncio.Event().wait()


def liveness_of(stream: ResumableStream) -> Any:
    reader: Any = stream._reader
    return reader.liveness


@pytest.mark.rule("LSN-4", "LSN-7", "P4")
@in_virtual_time
async def test_signs_that_fail_are_repeated_and_end_every_reader_at_last() -> None:
    async with world() as here:
        await begin(here, "a")
        context, broker = here.instance(outage_timeout=10)
        streams = [await join(context), await join(context)]
        failed: list[float] = []

        async def fail() -> None:
            failed.append(loop_time())
            raise BackendUnavailableError("the broker is away")

        meet_signs(broker, fail)
        for stream in streams:
            assert await anext(stream) == "a"
            with pytest.raises(BackendUnavailableError, match="10 s"):
                await anext(stream)
        assert 10 <= loop_time() - failed[0] < 12
        assert len(failed) > 8


@pytest.mark.rule("LSN-4", "LSN-7")
@in_virtual_time
async def test_a_sign_that_is_taken_ends_the_outage() -> None:
    async with world() as here:
        await begin(here, "a")
        context, broker = here.instance(outage_timeout=10)
        streams = [await join(context), await join(context)]
        is_away = True

        async def fail() -> None:
            if is_away:
                raise BackendUnavailableError("the broker is away")

        meet_signs(broker, fail)
        for _ in range(5):
            is_away = True
            await asyncio.sleep(2 * INTERVAL)
            is_away = False
            await asyncio.sleep(INTERVAL)
        reader: Any
        for reader in [stream._reader for stream in streams]:
            assert not reader.unread.over


@pytest.mark.rule("LSN-4", "LSN-6")
@in_virtual_time
async def test_a_slow_sign_is_trouble_to_every_reader() -> None:
    async with world() as here:
        await begin(here, "a")
        context, broker = here.instance()
        streams = [await join(context), await join(context)]
        meet_signs(broker, lambda: asyncio.sleep(1.1))
        for stream in streams:
            assert liveness_of(stream).weigh(Sighting.MISSING, loop_time()) is Verdict.LOST
        await asyncio.sleep(INTERVAL + TICK + 1.1)
        for stream in streams:
            assert liveness_of(stream).weigh(Sighting.MISSING, loop_time()) is Verdict.ASK


@pytest.mark.rule("LSN-4", "P4")
@in_virtual_time
async def test_a_defect_that_a_sign_meets_ends_every_reader() -> None:
    async with world() as here:
        await begin(here, "a")
        context, broker = here.instance()
        streams = [await join(context), await join(context)]

        async def fail() -> None:
            raise ZeroDivisionError

        meet_signs(broker, fail)
        for stream in streams:
            assert await anext(stream) == "a"
            with pytest.raises(ProducerLostError):
                await anext(stream)


@pytest.mark.rule("LSN-4", "P1")
@in_virtual_time
async def test_a_sign_that_somebody_else_cancels_is_not_the_last() -> None:
    async with world() as here:
        await begin(here, "a")
        context, broker = here.instance()
        stream = await join(context)

        async def cancel() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

        publish_many = broker.publish_many
        meet_signs(broker, cancel)
        await asyncio.sleep(INTERVAL + TICK)
        assert not signs(broker)
        broker.publish_many = publish_many  # type: ignore[method-assign]
        await asyncio.sleep(INTERVAL + TICK)
        assert signs(broker)
        await stream.aclose()


@pytest.mark.rule("LSN-4", "P10")
@in_virtual_time
async def test_a_reader_whose_leaving_was_cut_short_is_not_signed_for() -> None:
    async with world() as here:
        await begin(here, "a")
        context, broker = here.instance()
        stream = await join(context)
        reader: Any = stream._reader
        subscriptions, reader.task._subscriptions = reader.task._subscriptions, [Stuck()]
        for _ in range(2):  # the second time while it unsubscribes
            reader.task._task.cancel()
            await asyncio.sleep(0)
        await asyncio.sleep(3 * INTERVAL)
        assert not signs(broker)
        assert not leavers(broker)
        assert context._binding.instance is not None
        assert not context._binding.instance.finding._enrolments._known
        for subscription in subscriptions:
            await subscription.aclose()
