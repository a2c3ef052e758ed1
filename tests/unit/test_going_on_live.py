"""A reader whose text comes from the journal first, and then from a producer that still runs."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from resumable_stream import BackendUnavailableError, ProducerLostError, StreamFailedError
from support.journals import generation, journaled
from support.virtual_time import in_virtual_time
from support.world import ID, LEASE, SENTINEL, Source, rest, world


@pytest.mark.rule("P1", "JNL-6")
@pytest.mark.parametrize("by_event", [True, False])
@in_virtual_time
async def test_a_place_beyond_the_log_is_where_the_live_text_begins(*, by_event: bool) -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async")
        source = Source("abc", "def")
        await context.create_new_resumable_stream(ID, source)
        run = await generation(here)
        await asyncio.sleep(3)
        source.put("g", "hij", "kl")
        await asyncio.sleep(0.1)
        # It is taken for dead only until the reader has begun.
        value = await here.sentinel()
        assert value is not None
        await here.raw.delete(SENTINEL)
        other, _, _ = journaled(here, None)
        place: dict[str, Any] = {"last_event_id": f"{run}-4"} if by_event else {}
        stream: Any = await other.resume_existing_stream(ID, 8, **place)
        await here.raw.set(SENTINEL, value, ttl=15)
        source.finish()
        places = [(chunk, stream.offset, stream.last_event_id) async for chunk in stream]
        whole = [("hij", 10, f"{run}-4"), ("kl", 12, f"{run}-5")]
        assert places == (whole[1:] if by_event else [("ij", 10, f"{run}-4"), *whole[1:]])


@pytest.mark.rule("P1", "JNL-7")
@in_virtual_time
async def test_a_reader_beyond_the_text_of_a_lost_producer_knows_its_place() -> None:
    async with world() as here:
        context, broker, _ = journaled(here, "async")
        source = Source("abc")
        await context.create_new_resumable_stream(ID, source)
        run = await generation(here)
        await asyncio.sleep(3)
        other, _, _ = journaled(here, None)
        stream: Any = await other.resume_existing_stream(ID, 8)
        broker.away = True
        source.put("de", "fgh", "ij", "k")
        assert await anext(stream) == "ij"
        assert (stream.offset, stream.last_event_id) == (10, f"{run}-4")
        assert await anext(stream) == "k"
        assert (stream.offset, stream.last_event_id) == (11, f"{run}-5")
        with pytest.raises(ProducerLostError):
            await asyncio.wait_for(anext(stream), 3 * LEASE)


@pytest.mark.rule("P1", "P7")
@in_virtual_time
async def test_text_that_was_written_and_trimmed_at_the_end_of_the_log_is_read_from_it() -> None:
    async with world() as here:
        context, _, _ = journaled(here, "sync", buffer_limit=100)
        source = Source()
        stream = await context.create_new_resumable_stream(ID, source)
        chunks = [f"{number:099}\n" for number in range(20)]
        for chunk in chunks[:10]:
            source.put(chunk)
            assert await anext(stream) == chunk
        other, _, notebook = journaled(here, None)
        read = notebook.read

        async def late(*arguments: Any, max_bytes: int) -> list[bytes]:
            records = await read(*arguments, max_bytes=max_bytes)
            if not records:
                notebook.read = read  # type: ignore[method-assign]
                for chunk in chunks[10:]:
                    source.put(chunk)
                    assert await anext(stream) == chunk
                source.finish()
            return records

        patched: Any = late
        notebook.read = patched  # type: ignore[method-assign]
        assert await rest(await other.resume_existing_stream(ID)) == chunks


@pytest.mark.rule("P1", "JNL-6")
@pytest.mark.parametrize("late_by", [2, 10])
@in_virtual_time
async def test_a_place_that_only_the_journal_knows_is_not_beyond_the_text(late_by: float) -> None:
    async with world() as here:
        context, _, notebook = journaled(here, "sync")
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        run = await generation(here)
        assert await anext(stream) == "a"
        append = notebook.append

        async def slowly(*arguments: Any, ttl: int) -> bool:
            written = await append(*arguments, ttl=ttl)
            await asyncio.sleep(late_by)
            return written

        late: Any = slowly
        notebook.append = late  # type: ignore[method-assign]
        source.put("b")
        await asyncio.sleep(0.5)
        other, _, _ = journaled(here, "sync")
        place = f"{run}-2"
        readers = [
            await one.resume_existing_stream(ID, last_event_id=place) for one in (context, other)
        ]
        source.put("c")
        source.finish()
        assert [await rest(reader) for reader in readers] == [["c"], ["c"]]
        assert await rest(stream) == ["b", "c"]


@pytest.mark.rule("P3", "JNL-6")
@in_virtual_time
async def test_who_reads_more_than_a_failed_producer_knows_learns_that_it_failed() -> None:
    async with world() as here:
        context, _, notebook = journaled(here, "sync", outage_timeout=10)
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        run = await generation(here)
        assert await anext(stream) == "a"
        notebook.lose_replies = 10**6
        read = notebook.read

        async def blind(log: str, index: int, *, max_bytes: int) -> list[bytes]:
            if max_bytes == 1:  # as its writer looks
                raise BackendUnavailableError("no answer")
            return await read(log, index, max_bytes=max_bytes)

        notebook.read = blind  # type: ignore[method-assign]
        source.put("b")
        await asyncio.sleep(1)
        other, _, _ = journaled(here, "sync", outage_timeout=10)
        readers: list[Any] = [
            await one.resume_existing_stream(ID, last_event_id=f"{run}-2")
            for one in (context, other)
        ]
        ends = await asyncio.gather(*map(rest, readers), return_exceptions=True)
        assert list(map(type, ends)) == [StreamFailedError] * 2


@pytest.mark.rule("P10")
@in_virtual_time
async def test_a_reader_from_elsewhere_that_is_dropped_is_gone_at_once() -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async", buffer_limit=100)
        source = Source()
        await context.create_new_resumable_stream(ID, source)
        for number in range(50):
            source.put(f"{number:09}\n")
            await asyncio.sleep(0.3)
        other, broker, _ = journaled(here, None)
        gc.collect()
        gc.disable()
        try:
            stream: Any = await other.resume_existing_stream(ID)
            for _ in range(50):
                await anext(stream)
            source.put("live")
            assert await anext(stream) == "live"
            assert broker._subscriptions
            del stream
            await asyncio.sleep(5)
            assert not broker._subscriptions
        finally:
            gc.enable()


@pytest.mark.rule("JNL-6", "P1", "P2")
@in_virtual_time
async def test_an_event_id_is_the_place_also_before_its_producer_has_said_where_that_is() -> None:
    async with world() as here:
        context, broker, _ = journaled(here, buffer_limit=50_000)
        other, _, _ = journaled(here)
        chunks = ["z", "a" * 40_000, "\x1eb"]  # two frames, of which the first says where it is
        source = Source(*chunks)
        await context.create_new_resumable_stream(ID, source)
        run = await generation(here)
        await asyncio.sleep(3)
        broker.drop = lambda _channel, message: b'"offset"' in message
        stream: Any = await other.resume_existing_stream(ID, last_event_id=f"{run}-1")
        reading = asyncio.create_task(rest(stream))
        source.put("c" * 60_000, "d")
        await asyncio.sleep(3)
        source.finish()
        assert await reading == [*chunks[1:], "c" * 60_000, "d"]
        assert stream.offset == 1 + 40_000 + 2 + 60_000 + 1
