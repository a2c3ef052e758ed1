"""The one timer that notices silence in a response."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from resumable_stream.sse._silence import Silence
from support.virtual_time import in_virtual_time, loop_time

LIMIT = 5.0


def timers() -> list[asyncio.TimerHandle]:
    loop: Any = asyncio.get_running_loop()
    return [timer for timer in loop._scheduled if not timer.cancelled()]


async def after(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "result"


@in_virtual_time
async def test_many_waits_have_one_timer() -> None:
    silence = Silence(LIMIT)
    armed = set()
    for _ in range(1000):
        assert await silence.within(asyncio.sleep(0, "result")) == "result"
        armed.update(timers())
    assert len(armed) == 1


@in_virtual_time
async def test_each_wait_is_limited_from_its_own_beginning() -> None:
    silence = Silence(LIMIT)
    for early in (0, 0.1, 2.5, 4.999, 4.999, 0, 3, 4.9):
        assert await silence.within(after(early)) == "result"
        began = loop_time()
        with pytest.raises(TimeoutError):
            await silence.within(after(60))
        assert loop_time() - began == pytest.approx(LIMIT)


@in_virtual_time
async def test_what_comes_before_the_limit_is_in_time() -> None:
    silence, began = Silence(LIMIT), loop_time()
    for _ in range(100):
        assert await silence.within(after(4.99)) == "result"
    assert loop_time() - began == pytest.approx(499)


@in_virtual_time
async def test_time_between_waits_does_not_count() -> None:
    silence = Silence(LIMIT)
    assert await silence.within(after(1)) == "result"
    await asyncio.sleep(60)
    assert timers() == []
    assert await silence.within(after(4)) == "result"


@in_virtual_time
async def test_waits_of_several_tasks_follow_each_other() -> None:
    silence = Silence(LIMIT)
    for _ in range(3):
        assert await asyncio.create_task(silence.within(after(3))) == "result"
    waiting = asyncio.create_task(silence.within(after(60)))
    began = loop_time()
    with pytest.raises(TimeoutError):
        await waiting
    assert loop_time() - began == pytest.approx(LIMIT)


@pytest.mark.parametrize("moment", [3, LIMIT])
@in_virtual_time
async def test_a_cancelled_wait_is_no_silence(moment: float) -> None:
    silence = Silence(LIMIT)
    waiting = asyncio.create_task(silence.within(after(60)))
    asyncio.get_running_loop().call_later(moment, waiting.cancel)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await silence.within(after(4)) == "result"


@in_virtual_time
async def test_a_stopped_timer_is_gone() -> None:
    silence = Silence(LIMIT)
    silence.stop()
    await silence.within(after(1))
    assert len(timers()) == 1
    silence.stop()
    assert timers() == []


@in_virtual_time
async def test_the_timer_holds_nobody_who_waited() -> None:
    class Waiter:
        def __init__(self) -> None:
            self.silence = Silence(3600)

    waiter = Waiter()
    await waiter.silence.within(after(1))
    gone = weakref.ref(waiter)
    del waiter
    gc.collect()
    assert gone() is None
