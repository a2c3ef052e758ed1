"""Whether an event loop is being shut down."""

from __future__ import annotations

import asyncio
from types import FunctionType

import pytest

from resumable_stream._loops import is_ending


async def _ask_when_cancelled(answers: list[bool]) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        answers.append(is_ending(asyncio.get_running_loop()))
        raise


def test_loop_of_asyncio_run_ends_once_its_main_task_has() -> None:
    answers: list[bool] = []
    tasks: list[asyncio.Task[None]] = []

    async def main() -> None:
        tasks.append(asyncio.create_task(_ask_when_cancelled(answers)))
        await asyncio.sleep(0)

    asyncio.run(main())
    assert answers == [True]


async def test_single_cancelled_task_does_not_end_the_loop() -> None:
    answers: list[bool] = []
    task = asyncio.create_task(_ask_when_cancelled(answers))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert answers == [False]


def test_step_that_a_driver_takes_meanwhile_hides_no_end() -> None:
    """Until Python 3.11, redis-py's waits swallow a cancellation and then take such a step."""
    answers: list[bool] = []

    async def sleep() -> None:
        await asyncio.sleep(0.01)

    step = FunctionType(sleep.__code__, {**globals(), "__name__": "redis.asyncio.connection"})

    async def swallow() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            waited_for = asyncio.create_task(step())
            answers.append(is_ending(asyncio.get_running_loop()))
            await waited_for

    tasks: list[asyncio.Task[None]] = []

    async def main() -> None:
        tasks.append(asyncio.create_task(swallow()))
        await asyncio.sleep(0)

    asyncio.run(main())
    assert answers == [True]


def test_closed_loop_has_ended() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    assert is_ending(loop)


async def test_a_task_that_nobody_has_cancelled_need_not_look_at_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()

    def all_tasks(_loop: asyncio.AbstractEventLoop) -> None:
        pytest.fail("looked at all tasks")

    monkeypatch.setattr(asyncio, "all_tasks", all_tasks)
    assert not is_ending(loop)
