"""The reader beside the producer."""

from __future__ import annotations

import asyncio

import pytest

from support.virtual_time import in_virtual_time, loop_time
from support.world import begin, rest, world


@pytest.mark.rule("P6", "END-1")
@in_virtual_time
async def test_an_impatient_reader_learns_the_end_though_the_broker_is_away() -> None:
    async with world() as here:
        source, stream, _ = await begin(here, "a")
        assert await anext(stream) == "a"
        here.brokers[0].away = True
        source.finish()
        await asyncio.sleep(0)
        ended = loop_time()
        while True:
            try:
                async with asyncio.timeout(0.03):
                    assert await rest(stream) == []
                break
            except TimeoutError:
                assert loop_time() < ended + 0.5, "each attempt waits for the record anew"
        here.brokers[0].away = False
