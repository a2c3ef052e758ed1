"""The tests' own event loops end a program that spins, and fail it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

import pytest

from simulation.clock import SimulatedLoop
from support.spinning import LivelockError, spinning_is_ended
from support.virtual_time import DeadlockError, run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator


async def nothing() -> None:
    """Return at once: to await this gives the event loop no turn."""


async def turn_after_turn() -> None:
    while True:  # noqa: ASYNC110 - nothing comes of it
        await asyncio.sleep(0)


async def hour_after_hour() -> None:
    while True:  # noqa: ASYNC110 - nothing comes of it
        await asyncio.sleep(3600)


async def within_one_turn() -> None:
    while True:
        await nothing()


async def whatever_is_raised() -> None:
    while True:
        with contextlib.suppress(Exception):
            await within_one_turn()


SPINNING = pytest.mark.parametrize(
    "spin", [turn_after_turn, hour_after_hour, within_one_turn, whatever_is_raised]
)


spun: list[asyncio.Task[None]] = []


@pytest.fixture(autouse=True)
def what_spun_is_forgotten() -> Iterator[None]:
    """Fetch the tasks' errors: else asyncio logs them at their collection, in some other test."""
    yield
    for task in spun:
        if task.done() and not task.cancelled():
            task.exception()
    spun.clear()


async def beside(spin: Callable[[], Coroutine[None, None, None]]) -> None:
    spinning = asyncio.create_task(spin(), name="the one that spins")
    spun.append(spinning)
    await asyncio.Event().wait()
    await spinning


@SPINNING
def test_what_spins_in_virtual_time_is_ended(
    spin: Callable[[], Coroutine[None, None, None]],
) -> None:
    with pytest.raises(LivelockError, match="the one that spins"):
        run_in_virtual_time(beside(spin), limit=0.2)


@SPINNING
def test_what_spins_in_the_simulation_is_ended(
    spin: Callable[[], Coroutine[None, None, None]],
) -> None:
    loop = SimulatedLoop(random.Random(0), shuffle=True)
    with (
        pytest.raises(LivelockError, match="the one that spins"),
        spinning_is_ended(loop, 0.2),
        asyncio.Runner(loop_factory=lambda: loop) as runner,
    ):
        runner.run(beside(spin))


def test_a_deadlock_names_who_waits() -> None:
    with pytest.raises(DeadlockError, match="the one that waits"):
        run_in_virtual_time(beside_a_waiter())


async def beside_a_waiter() -> None:
    waiting = asyncio.create_task(asyncio.Event().wait(), name="the one that waits")
    await asyncio.Event().wait()
    await waiting
