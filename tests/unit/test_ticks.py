"""Callbacks that share a timer: none is called early or twice, and no timer is left behind."""

from __future__ import annotations

import asyncio
from functools import partial

from resumable_stream._ticks import Ticks
from support.virtual_time import in_virtual_time


@in_virtual_time
async def test_a_tick_is_never_early_and_a_fortieth_of_a_second_late_at_most() -> None:
    loop, ticks = asyncio.get_running_loop(), Ticks()
    late: list[float] = []

    def note(due: float) -> None:
        late.append(loop.time() - due)

    for wait in (0.0, 0.001, 0.024, 0.025, 0.3, 5.0):
        ticks.call_later(wait, partial(note, loop.time() + wait))
    await asyncio.sleep(6)
    assert len(late) == 6
    assert all(-1e-6 < each < 0.025 + 1e-6 for each in late)


@in_virtual_time
async def test_what_falls_due_together_shares_a_timer() -> None:
    loop, ticks = asyncio.get_running_loop(), Ticks()
    moments: list[tuple[float, float]] = []

    def note(wait: float) -> None:
        moments.append((wait, loop.time()))

    await asyncio.sleep(1.001)
    for wait in (0.001, 0.002, 0.003):
        ticks.call_later(wait, partial(note, wait))
    assert len(ticks._timers) == 1
    await asyncio.sleep(1)
    assert [wait for wait, _ in moments] == [0.001, 0.002, 0.003]
    assert len({moment for _, moment in moments}) == 1


@in_virtual_time
async def test_what_is_cancelled_is_not_called_and_leaves_no_timer() -> None:
    ticks = Ticks()
    called: list[str] = []

    def first() -> None:
        called.append("first")

    def second() -> None:
        called.append("second")

    tick = ticks.call_later(0.1, first)
    assert ticks.call_later(0.1, second) == tick
    (timer,) = ticks._timers.values()
    ticks.cancel(tick, first)
    assert not timer.cancelled()
    await asyncio.sleep(1)
    assert called == ["second"]
    tick = ticks.call_later(0.1, first)
    (timer,) = ticks._timers.values()
    ticks.cancel(tick, first)
    ticks.cancel(tick, first)
    assert timer.cancelled()
    assert not ticks._timers
    assert not ticks._due


@in_virtual_time
async def test_a_callback_may_set_the_next_timer() -> None:
    ticks = Ticks()
    count = 0

    def again() -> None:
        nonlocal count
        count += 1
        if count < 5:
            ticks.call_later(0, again)

    ticks.call_later(0, again)
    await asyncio.sleep(1)
    assert count == 5
    assert not ticks._timers
