"""A stream has one ending, even for a reader that gave up while the producer was paused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resumable_stream import (
    BackendUnavailableError,
    OutcomeUnknownError,
    ProducerLostError,
    ResumableStream,
)
from support.journals import journaled
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


@pytest.mark.rule("P3", "P12", "JNL-4")
@in_virtual_time
async def test_a_process_that_stood_still_asks_its_journal_once_more() -> None:
    """Others may have read the end there, and must not be contradicted."""
    async with world() as here:
        context, _, notebook = journaled(here, "sync", outage_timeout=10)
        other, _, _ = journaled(here, None)
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        loop: Any = asyncio.get_running_loop()
        append = notebook.append

        async def stand_still(*arguments: Any, ttl: int) -> bool:
            await append(*arguments, ttl=ttl)
            notebook.append = append  # type: ignore[method-assign]
            await asyncio.sleep(0.1)
            loop.now += 30
            raise OutcomeUnknownError("the reply came too late")

        late: Any = stand_still
        notebook.append = late  # type: ignore[method-assign]
        read = notebook.read

        async def fail_once(log: str, index: int, *, max_bytes: int) -> list[bytes]:
            notebook.read = read  # type: ignore[method-assign]
            raise BackendUnavailableError("its connection was lost meanwhile")

        notebook.read = fail_once  # type: ignore[method-assign]
        source.finish()
        assert await rest(stream) == ["a"]
        status = await context.wait_for_end(ID)
        assert (status.state, bool(status.kept_until)) == ("completed", True)
        assert await rest(await other.resume_existing_stream(ID)) == ["a"]
