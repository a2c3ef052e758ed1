"""A stream has one ending, even for a reader that gave up while the producer was paused."""

from __future__ import annotations

import asyncio

import pytest

from resumable_stream import ProducerLostError, ResumableStream
from support.virtual_time import in_virtual_time
from support.world import ID, LEASE, Source, rest, world


@pytest.mark.rule("P1", "P3", "END-7")
@in_virtual_time
async def test_a_reader_that_gave_up_gets_the_rest_and_the_recorded_end() -> None:
    async with world() as here:
        context, broker = here.instance()
        other, _ = here.instance()
        source = Source("a", "b")
        local = await context.create_new_resumable_stream(ID, source)
        remote = await other.resume_existing_stream(ID)
        assert isinstance(remote, ResumableStream)
        assert [await anext(remote), await anext(remote)] == ["a", "b"]

        broker.running.clear()  # as if its process stood still for four leases
        with pytest.raises(ProducerLostError) as lost:
            await anext(remote)
        await asyncio.sleep(3 * LEASE)
        source.put("c")
        source.finish()
        broker.running.set()

        assert await rest(local) == ["a", "b", "c"]
        assert (await context.wait_for_end(ID)).state == "completed"
        again = await other.resume_existing_stream(ID, lost.value.offset)
        assert await rest(again) == ["c"]
        assert (await other.stream_status(ID)).state == "completed"
        assert await other.resume_existing_stream(ID) is None


@pytest.mark.rule("P3", "SEN-7")
@in_virtual_time
async def test_an_ending_is_not_forgotten_before_the_stream_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as here:
        context, broker = here.instance(done_ttl=LEASE)
        other, _ = here.instance()
        compare_and_set = broker.compare_and_set

        async def slow(key: str, expected: str, value: str, *, ttl: int) -> bool:
            await asyncio.sleep(2)
            return await compare_and_set(key, expected, value, ttl=ttl)

        monkeypatch.setattr(broker, "compare_and_set", slow)
        source = Source("a")
        await context.create_new_resumable_stream(ID, source)
        source.finish(LookupError())
        await context.wait_for_end(ID)
        while (status := await other.stream_status(ID)).state != "not_found":
            assert status.state == "failed"
            await asyncio.sleep(0.1)
