"""While somebody records how a dead producer ended, and when that fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resumable_stream import BackendUnavailableError, ProducerLostError
from support.journals import died, journaled
from support.virtual_time import in_virtual_time
from support.world import ID, LEASE, Source, rest, world


@pytest.mark.rule("JNL-5", "P10")
@in_virtual_time
async def test_a_claim_that_cannot_bury_a_dead_producer_is_let_go() -> None:
    async with world() as here:
        await died(here, "a")
        context, _, notebook = journaled(here)
        notebook.away = True
        with pytest.raises(BackendUnavailableError):
            await context.resumable_stream(ID, Source("b"))
        await asyncio.sleep(1.5)
        assert await here.sentinel() is None


@pytest.mark.rule("JNL-5", "P2", "P12")
@in_virtual_time
async def test_a_place_is_served_while_somebody_records_how_its_producer_ended() -> None:
    async with world() as here:
        run = await died(here, "a", "b")
        claims, _, notebook = journaled(here)

        async def slow() -> None:
            await asyncio.sleep(LEASE)

        notebook.meanwhile = slow
        claiming = asyncio.create_task(claims.resumable_stream(ID, Source("c")))
        await asyncio.sleep(1)
        assert await here.sentinel() is not None
        reads, _, _ = journaled(here)
        stream: Any = await reads.resume_existing_stream(ID, last_event_id=f"{run}-1")
        assert await anext(stream) == "b"
        with pytest.raises(ProducerLostError):
            await rest(stream)
        await asyncio.wait({claiming})
        late: Any = await claiming
        assert [await anext(late), await anext(late)] == ["a", "b"]
        with pytest.raises(ProducerLostError):
            await rest(late)
