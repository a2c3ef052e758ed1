"""The contract of ``adapter_kit.LoopBound``: a backend's parts, and the loop they belong to."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from resumable_stream import BackendUnavailableError, WrongEventLoopError
from resumable_stream.adapter_kit import LoopBound


class Parts:
    """A backend's parts, numbered in the order in which they are made."""

    def __init__(self, number: int) -> None:
        asyncio.get_running_loop()
        self.number = number
        self.cut_off = False


def new() -> LoopBound[Parts]:
    numbers = count()
    return LoopBound("Carrier", lambda: Parts(next(numbers)))


async def get(bound: LoopBound[Parts]) -> int:
    return bound.get().number


def test_parts_are_made_at_the_first_call() -> None:
    bound = new()
    assert bound.parts is None

    async def main() -> None:
        assert [bound.get().number, bound.get().number] == [0, 0]
        assert bound.parts is bound.get()

    asyncio.run(main())


def test_another_loop_is_refused_while_the_first_is_open() -> None:
    bound, first, second = new(), asyncio.new_event_loop(), asyncio.new_event_loop()
    assert first.run_until_complete(get(bound)) == 0
    with pytest.raises(WrongEventLoopError, match="this Carrier backend is in use by another"):
        second.run_until_complete(get(bound))
    assert first.run_until_complete(get(bound)) == 0
    first.close()
    assert second.run_until_complete(get(bound)) == 1
    second.close()


def test_parts_of_a_loop_that_is_being_shut_down_take_no_calls() -> None:
    bound = new()

    async def main() -> None:
        bound.get().cut_off = True
        with pytest.raises(BackendUnavailableError, match="close the Carrier backend"):
            bound.get()

    asyncio.run(main())
    assert asyncio.run(get(bound)) == 1


async def test_closing_is_final() -> None:
    bound = new()
    parts = bound.get()
    assert (bound.close(), bound.parts, bound.close()) == (parts, None, None)
    with pytest.raises(BackendUnavailableError, match="this Carrier backend was closed"):
        bound.get()


async def test_closing_what_was_never_used_is_final_too() -> None:
    bound = new()
    assert bound.close() is None
    with pytest.raises(BackendUnavailableError, match="closed"):
        bound.get()


def test_parts_of_another_loop_are_left_to_its_end() -> None:
    bound = new()
    asyncio.run(get(bound))

    async def close() -> Parts | None:
        return bound.close()

    assert asyncio.run(close()) is None
    with pytest.raises(BackendUnavailableError, match="closed"):
        asyncio.run(get(bound))
