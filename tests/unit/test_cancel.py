"""Cancelling a stream whose source is slow to close, or whose messages are lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resumable_stream import CancelResult, StreamCancelledError
from support.virtual_time import in_virtual_time, loop_time
from support.world import ID, NAMES, begin, rest, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.mark.rule("P9", "REQ-7")
@pytest.mark.parametrize("where", ["beside the producer", "elsewhere"])
@in_virtual_time
async def test_a_source_that_is_slow_to_close_is_waited_for(where: str) -> None:
    closed = False

    async def source() -> AsyncIterator[str]:
        nonlocal closed
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(4.5)
            closed = True

    async with world() as here:
        hurried = {"lease": 2, "handshake_timeout": 1}
        context, _ = here.instance(**hurried)
        stream = await context.create_new_resumable_stream(ID, source)
        assert await anext(stream) == "a"
        other = here.instance(**hurried)[0] if where == "elsewhere" else context
        assert await other.cancel_stream(ID) is CancelResult.CANCELLED
        assert closed
        with pytest.raises(StreamCancelledError):
            await rest(stream)


@pytest.mark.rule("P9", "REQ-7")
@in_virtual_time
async def test_a_cancel_that_is_lost_is_sent_again() -> None:
    async with world() as here:
        await begin(here, "a")
        context, broker = here.instance()
        lost: list[str] = []

        def drop(channel: str, _message: bytes) -> bool:
            if channel != NAMES.request(ID) or len(lost) == 3:
                return False
            lost.append(channel)
            return True

        broker.drop = drop
        assert await context.cancel_stream(ID) is CancelResult.CANCELLED
        assert len(lost) == 3


@pytest.mark.rule("P9", "REQ-7")
@in_virtual_time
async def test_a_cancel_hears_of_the_end_at_once() -> None:
    async with world() as here:
        await begin(here, "a")
        context, _ = here.instance()
        began = loop_time()
        assert await context.cancel_stream(ID) is CancelResult.CANCELLED
        assert loop_time() - began < 0.05


@pytest.mark.rule("P9", "REQ-7")
@in_virtual_time
async def test_a_cancel_whose_answers_are_lost_finds_the_end_recorded() -> None:
    async with world() as here:
        await begin(here, "a")
        context, _ = here.instance()
        here.brokers[0].drop = lambda _channel, _message: True
        assert await context.cancel_stream(ID) is CancelResult.CANCELLED
