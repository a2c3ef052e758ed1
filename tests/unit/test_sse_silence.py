"""The one timer that notices silence in a response."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream.sse._silence import Silence
from support.virtual_time import in_virtual_time, loop_time

if TYPE_CHECKING:
    from collections.abc import Awaitable

LIMIT = 5.0


def is_limit(took: float) -> bool:
    """Tell whether a wait has taken as long as it may, and is at most a 256th of that late."""
    return LIMIT - 1e-6 < took < LIMIT * (1 + 1 / 256) + 1e-6


def timers() -> list[asyncio.TimerHandle]:
    loop: Any = asyncio.get_running_loop()
    return [timer for timer in loop._scheduled if not timer.cancelled()]


async def within(silence: Silence, awaitable: Awaitable[str]) -> str:
    with silence:
        return await awaitable


async def after(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "result"


@in_virtual_time
async def test_many_waits_have_one_timer() -> None:
    silence = Silence(LIMIT)
    armed = set()
    for _ in range(1000):
        assert await within(silence, asyncio.sleep(0, "result")) == "result"
        armed.update(timers())
    assert len(armed) == 1


@in_virtual_time
async def test_each_wait_is_limited_from_its_own_beginning() -> None:
    silence = Silence(LIMIT)
    for early in (0, 0.1, 2.5, 4.999, 4.999, 0, 3, 4.9):
        assert await within(silence, after(early)) == "result"
        began = loop_time()
        with pytest.raises(TimeoutError):
            await within(silence, after(60))
        assert is_limit(loop_time() - began)


@in_virtual_time
async def test_waits_that_end_at_about_the_same_time_end_together() -> None:
    ends = []

    async def wait(later: float) -> None:
        await asyncio.sleep(later)
        with contextlib.suppress(TimeoutError):
            await within(Silence(LIMIT), after(60))
        ends.append(loop_time())

    await asyncio.gather(*(wait(later) for later in (0.001, 0.005, 0.012, 0.019, 0.03)))
    assert ends[:4] == [ends[0]] * 4
    assert ends[4] > ends[0]


@in_virtual_time
async def test_a_wait_without_a_limit_is_not_limited() -> None:
    assert await within(Silence(float("inf")), after(1e6)) == "result"


@in_virtual_time
async def test_what_comes_before_the_limit_is_in_time() -> None:
    silence, began = Silence(LIMIT), loop_time()
    for _ in range(100):
        assert await within(silence, after(4.99)) == "result"
    assert loop_time() - began == pytest.approx(499)


@in_virtual_time
async def test_time_between_waits_does_not_count() -> None:
    silence = Silence(LIMIT)
    assert await within(silence, after(1)) == "result"
    await asyncio.sleep(60)
    assert timers() == []
    assert await within(silence, after(4)) == "result"


@in_virtual_time
async def test_waits_of_several_tasks_follow_each_other() -> None:
    silence = Silence(LIMIT)
    for _ in range(3):
        assert await asyncio.create_task(within(silence, after(3))) == "result"
    waiting = asyncio.create_task(within(silence, after(60)))
    began = loop_time()
    with pytest.raises(TimeoutError):
        await waiting
    assert is_limit(loop_time() - began)


@pytest.mark.parametrize("moment", [3, LIMIT])
@in_virtual_time
async def test_a_cancelled_wait_is_no_silence(moment: float) -> None:
    silence = Silence(LIMIT)
    waiting = asyncio.create_task(within(silence, after(60)))
    asyncio.get_running_loop().call_later(moment, waiting.cancel)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await within(silence, after(4)) == "result"


@in_virtual_time
async def test_a_stopped_timer_is_gone() -> None:
    silence = Silence(LIMIT)
    silence.stop()
    await within(silence, after(1))
    assert len(timers()) == 1
    silence.stop()
    assert timers() == []


@in_virtual_time
async def test_the_timer_holds_nobody_who_waited() -> None:
    class Waiter:
        def __init__(self) -> None:
            self.silence = Silence(3600)

    waiter = Waiter()
    await within(waiter.silence, after(1))
    gone = weakref.ref(waiter)
    del waiter
    gc.collect()
    assert gone() is None


@in_virtual_time
async def test_silence_leaves_no_cancellation_behind() -> None:
    silence = Silence(LIMIT)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await within(silence, after(60))
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    async with asyncio.timeout(LIMIT):
        await asyncio.sleep(1)


@in_virtual_time
async def test_a_task_that_was_cancelled_before_still_notices_silence() -> None:
    silence = Silence(LIMIT)

    async def wait() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        with pytest.raises(TimeoutError):
            await within(silence, after(60))

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(1)
    waiting.cancel()
    await waiting
