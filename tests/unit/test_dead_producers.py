"""What is left of a producer that died, and who ends it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resumable_stream import (
    NOT_FOUND,
    BackendUnavailableError,
    ContextClosedError,
    ProducerLostError,
    StreamState,
)
from resumable_stream._protocol.sentinel import Outcome, Running, generation_of
from resumable_stream._text.endings import Ending, Status
from support.journals import died, ending_with, journaled, kept, produced
from support.virtual_time import in_virtual_time
from support.world import ID, NAMES, OUTCOME, SENTINEL, Source, rest, world


@pytest.mark.rule("P3", "P4", "P12", "JNL-6", "JNL-7")
@pytest.mark.parametrize("durability", ["async", "sync"])
@in_virtual_time
async def test_what_a_dead_producer_wrote_is_read_and_then_it_is_lost(durability: str) -> None:
    async with world() as here:
        run = await died(here, "a", "b", durability=durability)
        reader, _, _ = journaled(here, None)
        stream: Any = await reader.resume_existing_stream(ID)
        assert [await anext(stream), await anext(stream)] == ["a", "b"]
        with pytest.raises(ProducerLostError) as caught:
            await anext(stream)
        assert caught.value.offset == 2
        status = await reader.stream_status(ID)
        assert (status.state, status.generation) == (StreamState.LOST, run)
        assert status.kept_until is not None
        assert (await kept(here, run))[1] == [], "a reader seals nothing"


@pytest.mark.rule("P3", "P12", "JNL-6")
@pytest.mark.parametrize("sealed", [False, True])
@in_virtual_time
async def test_a_reader_that_loses_its_producer_gets_all_that_was_written(*, sealed: bool) -> None:
    async with world() as here:
        context, broker, notebook = journaled(here, "async")
        source = Source("a")
        await context.create_new_resumable_stream(ID, source)
        run = generation_of(await here.sentinel() or "")
        reader, _, _ = journaled(here, None)
        stream: Any = await reader.resume_existing_stream(ID)
        assert await anext(stream) == "a"
        broker.drop = lambda _channel, _message: True
        source.put("b", "", "c")
        await asyncio.sleep(2)
        broker.away = notebook.away = True
        await asyncio.sleep(17)
        if sealed:
            other, _, _ = journaled(here, "async")
            await other.resumable_stream(ID, Source())
        found = [await anext(stream)]
        assert (stream.last_event_id, stream.offset) == (f"{run}-2", 2)
        found += [await anext(stream), await anext(stream)]
        assert found == ["b", "", "c"]
        assert (stream.last_event_id, stream.offset) == (f"{run}-4", 3)
        with pytest.raises(ProducerLostError) as caught:
            await anext(stream)
        assert caught.value.offset == 3


@pytest.mark.rule("P5", "P12", "JNL-5")
@in_virtual_time
async def test_the_source_of_a_dead_producer_is_not_run_again() -> None:
    async with world() as here:
        run = await died(here, "a", "b")
        source = Source("c")
        for _ in range(2):
            context, _, _ = journaled(here, "async")
            stream = await context.resumable_stream(ID, source)
            assert stream is not None
            assert [await anext(stream), await anext(stream)] == ["a", "b"]
            with pytest.raises(ProducerLostError):
                await anext(stream)
        assert source.calls == 0
        assert await kept(here, run) == (["ab"], ["lost"])
        assert await here.sentinel() == "DONE"


@pytest.mark.rule("P3", "P12")
@in_virtual_time
async def test_who_had_more_than_was_kept_of_a_lost_text_is_told_that_it_is_lost() -> None:
    async with world() as here:
        run = await died(here, "a", "b")
        context, _, _ = journaled(here, "async")
        place = f"{run}-5"
        with pytest.raises(ProducerLostError):
            await rest(await context.resume_existing_stream(ID, last_event_id=place))
        with pytest.raises(ProducerLostError):
            await rest(await context.resumable_stream(ID, Source()))
        assert await here.sentinel() == "DONE"
        with pytest.raises(ProducerLostError):
            await rest(await context.resume_existing_stream(ID, last_event_id=place))


@pytest.mark.rule("P12")
@in_virtual_time
async def test_a_place_in_a_dead_producers_text_is_good_while_its_end_is_recorded() -> None:
    async with world() as here:
        run = await died(here, "a", "b")
        context, _, notebook = journaled(here, "async")
        reader, _, _ = journaled(here, None)
        sealing = asyncio.Event()
        notebook.meanwhile = sealing.wait
        burying = asyncio.create_task(context.resumable_stream(ID, Source()))
        await asyncio.sleep(0.5)
        assert await here.sentinel() is not None
        stream: Any = await reader.resume_existing_stream(ID, last_event_id=f"{run}-1")
        assert await anext(stream) == "b"
        sealing.set()
        for ending in (stream, await burying):
            with pytest.raises(ProducerLostError):
                await rest(ending)


@pytest.mark.rule("P10")
@in_virtual_time
async def test_a_context_that_is_closed_while_it_looks_for_a_dead_producer_starts_nothing() -> None:
    async with world() as here:
        broker: Any
        context, broker, _ = journaled(here, "async")
        look, closing = broker.get, list[asyncio.Task[None]]()

        async def get(key: str) -> str | None:
            if key == OUTCOME and not closing:
                closing.append(asyncio.create_task(context.aclose(5)))
                await asyncio.sleep(0.1)
            value: str | None = await look(key)
            return value

        broker.get = get
        source = ending_with("a")
        with pytest.raises(ContextClosedError):
            await context.resumable_stream(ID, source)
        await closing[0]
        assert source.calls == 0


@pytest.mark.rule("P5", "P10")
@in_virtual_time
async def test_a_claim_is_let_go_of_if_a_dead_producer_cannot_be_buried() -> None:
    async with world() as here:
        await died(here, "a")
        before = await here.raw.count_subscribers([NAMES.request(ID)])
        context, _, notebook = journaled(here, "async")
        notebook.away = True
        with pytest.raises(BackendUnavailableError):
            await context.resumable_stream(ID, Source())
        assert await here.raw.count_subscribers([NAMES.request(ID)]) == before
        notebook.away = False
        await asyncio.sleep(2)
        assert await here.sentinel() is None
        with pytest.raises(ProducerLostError):
            await rest(await context.resumable_stream(ID, Source()))


@pytest.mark.rule("P12", "JNL-5")
@in_virtual_time
async def test_a_whole_text_without_an_outcome_is_complete() -> None:
    async with world() as here:
        run = await produced(here, ["a", "b"])
        # As if it had been killed after the end's record, and before the outcome.
        await here.raw.delete(SENTINEL)
        await here.raw.set(OUTCOME, Running(run, 0).encode(), ttl=1000)
        context, _, _ = journaled(here, "async")
        assert await rest(await context.resume_existing_stream(ID)) == ["a", "b"]
        source = Source()
        assert await rest(await context.resumable_stream(ID, source)) == ["a", "b"]
        assert source.calls == 0
        assert (await context.stream_status(ID)).state is StreamState.COMPLETED


@pytest.mark.rule("P3", "P12")
@in_virtual_time
async def test_a_producer_that_begins_while_it_is_looked_up_is_not_lost() -> None:
    async with world() as here:
        broker: Any
        context, _, notebook = journaled(here, "async")
        other, broker, _ = journaled(here, "async")
        source, look = Source("a"), broker.get
        notebook.away = True  # nothing is written yet

        async def get(key: str) -> str | None:
            value: str | None = await look(key)
            if key == SENTINEL and value is None:
                broker.get = look  # once is enough
                await context.create_new_resumable_stream(ID, source)
                await asyncio.sleep(0.5)
                assert await look(OUTCOME) is not None
            return value

        broker.get = get
        stream = await other.resume_existing_stream(ID)
        source.finish()
        assert await rest(stream) == ["a"]


@pytest.mark.rule("P5", "P12")
@in_virtual_time
async def test_a_producer_that_died_before_it_was_done_has_ended() -> None:
    async with world() as here:
        await produced(here, ["a", "b"])
        # As if it had been killed after the outcome, and its lease had run out.
        await here.raw.delete(SENTINEL)
        reader, _, _ = journaled(here, None)
        assert await rest(await reader.resume_existing_stream(ID)) == ["a", "b"]
        assert (await reader.stream_status(ID)).state is StreamState.COMPLETED
        context, _, _ = journaled(here, "async")
        source = Source()
        assert await rest(await context.resumable_stream(ID, source)) == ["a", "b"]
        assert source.calls == 0
        assert await here.sentinel() == "DONE"


@pytest.mark.rule("P5")
@in_virtual_time
async def test_an_outcome_whose_text_is_no_longer_kept_does_not_hold_the_id() -> None:
    async with world() as here:
        await produced(here, ["a"])
        await here.raw.delete(SENTINEL)
        ended = Outcome(1, 1, Ending(Status.COMPLETED), kept_until=1)
        await here.raw.set(OUTCOME, ended.encode(), ttl=1000)
        context, _, _ = journaled(here, "async")
        assert await context.resume_existing_stream(ID) is NOT_FOUND
        source = Source("b")
        source.finish()
        assert await rest(await context.resumable_stream(ID, source)) == ["b"]
