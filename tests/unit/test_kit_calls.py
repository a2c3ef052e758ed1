"""The contract of ``adapter_kit.Calls``: what a writer still has to send, and who waits for it."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from resumable_stream import BackendUnavailableError
from resumable_stream.adapter_kit import Call, Calls


def some(count: int) -> tuple[Calls[str, Call[int]], list[Call[int]]]:
    """Return calls of two items each: a0, a1, b0, b1 and so on."""
    queue: Calls[str, Call[int]] = Calls()
    calls: list[Call[int]] = [Call() for _ in range(count)]
    for name, call in zip("abcdef", calls, strict=False):
        queue.put(call, [f"{name}0", f"{name}1"])
    return queue, calls


def rest(queue: Calls[str, Call[int]]) -> list[str]:
    return [item for item, _ in iter(queue.take, None)]


async def test_items_are_taken_in_the_order_of_the_calls() -> None:
    queue, calls = some(2)
    assert list(queue) == [calls[0], calls[0], calls[1], calls[1]]
    assert queue.take() == ("a0", calls[0])
    assert rest(queue) == ["a1", "b0", "b1"]
    assert (queue.take(), queue.is_left()) == (None, False)


async def test_a_call_is_sent_once_any_of_its_items_is_taken() -> None:
    queue, calls = some(2)
    assert [call.sent for call in calls] == [False, False]
    queue.take()
    assert [call.sent for call in calls] == [True, False]


async def test_what_nobody_waits_for_is_not_sent() -> None:
    queue, calls = some(4)
    queue.take()
    calls[0].withdraw()
    calls[1].fail(BackendUnavailableError("overdue"))
    calls[3].withdraw()
    assert queue.is_left()
    assert rest(queue) == ["c0", "c1"]
    assert [call.sent for call in calls] == [True, False, True, False]
    for call in calls:
        call.withdraw()


async def test_nothing_is_left_once_all_calls_are_withdrawn() -> None:
    queue, calls = some(2)
    for call in calls:
        call.withdraw()
    assert not queue.is_left()
    assert list(queue) == []


async def test_calls_are_given_up_with_all_their_items() -> None:
    queue, calls = some(3)
    calls[2].began += 1
    assert list(queue.give_up(until=calls[1].began)) == [calls[0]] * 2 + [calls[1]] * 2
    assert rest(queue) == ["c0", "c1"]
    queue, calls = some(3)
    assert len(list(queue.give_up())) == 6
    assert not queue.is_left()


async def test_a_call_began_when_it_was_made() -> None:
    before = asyncio.get_running_loop().time()
    call: Call[int] = Call()
    assert before <= call.began <= asyncio.get_running_loop().time()


async def test_only_the_first_result_counts() -> None:
    won: Call[int] = Call()
    won.succeed(1)
    won.succeed(2)
    won.fail(BackendUnavailableError("late"))
    assert await won.done == 1
    lost: Call[int] = Call()
    lost.fail(BackendUnavailableError("first"))
    lost.fail(BackendUnavailableError("second"))
    lost.succeed(1)
    with pytest.raises(BackendUnavailableError, match="first"):
        await lost.done


async def test_a_withdrawn_call_takes_no_result() -> None:
    call: Call[int] = Call()
    call.withdraw()
    call.succeed(1)
    call.fail(BackendUnavailableError("late"))
    call.withdraw()
    assert call.done.cancelled()


async def test_nothing_is_reported_of_a_call_that_failed_unheard() -> None:
    reported: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: reported.append(context))
    call: Call[int] = Call()
    call.fail(BackendUnavailableError("unheard"))
    call.withdraw()
    del call
    gc.collect()
    assert reported == []
