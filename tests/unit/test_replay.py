"""Reading from the journal what no producer serves any more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resumable_stream import (
    NOT_FOUND,
    InvalidEventIdError,
    InvalidOffsetError,
    ProducerLostError,
    StreamCancelledError,
    StreamFailedError,
    StreamHistoryChangedError,
)
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.records import encode_record
from resumable_stream._protocol.sentinel import generation_of
from support.journals import journaled, produced
from support.virtual_time import in_virtual_time
from support.world import ID, NAMES, Source, data_frame, rest, world

CHUNKS = ["a", "", "bc", "\ud83d", "\ude00", "x" * 70_000, "\x1e\x1f", "end"]


@pytest.mark.rule("P1", "P2", "P3", "P12", "JNL-6", "JNL-7")
@pytest.mark.parametrize("durability", ["exit", "async", "sync"])
@in_virtual_time
async def test_a_finished_answer_is_there_after_its_end(durability: str) -> None:
    async with world() as here:
        run = await produced(here, CHUNKS, durability)
        context, _, _ = journaled(here, None)
        text = "".join(CHUNKS)
        for stream in (
            await context.resume_existing_stream(ID),
            await context.resumable_stream(ID, Source()),
        ):
            assert await rest(stream) == CHUNKS
            assert stream.offset == len(text.encode("utf-16-le", "surrogatepass")) // 2  # type: ignore[union-attr]
            assert stream.last_event_id == f"{run}-{len(CHUNKS)}"  # type: ignore[union-attr]
        for number in range(len(CHUNKS) + 1):
            resumed: Any = await context.resume_existing_stream(ID, last_event_id=f"{run}-{number}")
            assert resumed.last_event_id == f"{run}-{number}"
            assert await rest(resumed) == CHUNKS[number:]
        for offset in (0, 1, 2, 3, 5, 50_000):
            resumed = await context.resume_existing_stream(ID, offset)
            found = "".join(await rest(resumed))
            assert (
                found.encode("utf-16-le", "surrogatepass")
                == text.encode("utf-16-le", "surrogatepass")[2 * offset :]
            )


@pytest.mark.rule("P3")
@in_virtual_time
async def test_places_that_are_not_there_are_refused() -> None:
    async with world() as here:
        run = await produced(here, ["😀", "b"])
        context, _, _ = journaled(here, None)
        with pytest.raises(InvalidOffsetError):
            await context.resume_existing_stream(ID, 1)
        beyond: Any = await context.resume_existing_stream(ID, 100)
        assert await rest(beyond) == []
        with pytest.raises(InvalidEventIdError):
            await rest(await context.resume_existing_stream(ID, last_event_id=f"{run}-9"))
        with pytest.raises(StreamHistoryChangedError):
            await context.resume_existing_stream(ID, last_event_id=f"{run + 1}-1")


@pytest.mark.rule("P3", "JNL-7")
@in_virtual_time
async def test_without_replay_the_answer_is_the_announced_one() -> None:
    async with world() as here:
        await produced(here, ["a"])
        context, _, _ = journaled(here, None)
        assert await context.resume_existing_stream(ID, replay=False) is None
        assert await context.resumable_stream(ID, Source(), replay=False) is None


@pytest.mark.rule("P3", "JNL-6")
@in_virtual_time
async def test_a_failure_is_told_after_the_text_before_it() -> None:
    async with world() as here:
        await produced(here, ["a", "b"], error=ValueError("oh"))
        context, _, _ = journaled(here, None)
        stream: Any = await context.resume_existing_stream(ID)
        assert [await anext(stream), await anext(stream)] == ["a", "b"]
        with pytest.raises(StreamFailedError, match="oh"):
            await anext(stream)


@pytest.mark.rule("P3", "P9")
@in_virtual_time
async def test_a_cancelled_stream_is_replayed_as_cancelled() -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async")
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        assert await anext(stream) == "a"
        await context.cancel_stream(ID)
        await context.aclose()
        other, _, _ = journaled(here, None)
        await asyncio.sleep(100)
        replayed: Any = await other.resume_existing_stream(ID)
        assert await anext(replayed) == "a"
        with pytest.raises(StreamCancelledError):
            await anext(replayed)


@pytest.mark.rule("P3")
@in_virtual_time
async def test_text_is_gone_after_the_retention() -> None:
    async with world() as here:
        await produced(here, ["a"])
        context, _, _ = journaled(here, None)
        await asyncio.sleep(3600)
        assert await context.resume_existing_stream(ID) is None
        await asyncio.sleep(24 * 3600)
        assert await context.resume_existing_stream(ID) is NOT_FOUND


@pytest.mark.rule("P1")
@pytest.mark.parametrize("replay", [True, False])
@in_virtual_time
async def test_a_place_is_served_for_the_grace_whatever_the_journal_still_has(
    replay: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async", retention=5, grace=30)
        source = Source("a", "b")
        source.finish()
        assert await rest(await context.create_new_resumable_stream(ID, source)) == ["a", "b"]
        await asyncio.sleep(10)
        other, _, _ = journaled(here, "async")
        assert await rest(await other.resume_existing_stream(ID, 1, replay=replay)) == ["b"]


@pytest.mark.rule("P12", "JNL-6")
@in_virtual_time
async def test_a_text_without_its_end_never_looks_complete() -> None:
    async with world() as here:
        run = await produced(here, ["a" * 200_000, "b" * 200_000, "c"])
        log = NAMES.journal(ID, run)
        context, _, notebook = journaled(here, None)
        records = notebook._open_bus().logs
        whole = records.read(log, 0, max_bytes=1_000_000, now=0)
        assert len(whole) > 1
        records.delete(log)
        for index, record in enumerate(whole[:-1]):
            records.append(log, index, record, deadline=1e9, now=0)
        stream = await context.resume_existing_stream(ID)
        with pytest.raises(ProducerLostError):
            await rest(stream)


@pytest.mark.rule("P1", "P7", "JNL-7")
@in_virtual_time
async def test_trimmed_text_is_read_from_the_journal_and_the_rest_live() -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async", buffer_limit=1000)
        source = Source()
        stream = await context.create_new_resumable_stream(ID, source)
        chunks = [f"{number:099}\n" for number in range(60)]
        for chunk in chunks[:50]:
            source.put(chunk)
            await asyncio.sleep(0.3)
            await anext(stream)
        other, _, _ = journaled(here, None)
        readers = [await instance.resume_existing_stream(ID) for instance in (context, other)]
        for chunk in chunks[50:]:
            source.put(chunk)
        source.finish()
        for reader in readers:
            assert await rest(reader) == chunks
        assert await rest(stream) == chunks[50:]


@pytest.mark.rule("P1")
@in_virtual_time
async def test_an_impatient_reader_keeps_its_place_where_the_journal_ends() -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async", buffer_limit=100)
        source = Source()
        await context.create_new_resumable_stream(ID, source)
        run = generation_of(await here.sentinel() or "")
        for number in range(50):
            source.put(f"{number:09}\n")
            await asyncio.sleep(0.3)
        stream: Any = await context.resume_existing_stream(ID)
        for _ in range(50):
            await anext(stream)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 1)
            assert (stream.offset, stream.last_event_id) == (500, f"{run}-50")
        source.put("after")
        assert await anext(stream) == "after"
        assert (stream.offset, stream.last_event_id) == (505, f"{run}-51")


@pytest.mark.rule("P1", "JNL-6")
@in_virtual_time
async def test_a_replay_that_is_ahead_of_its_producer_waits_for_it() -> None:
    async with world() as here:
        context, _, notebook = journaled(here, "sync", buffer_limit=100)
        source = Source()
        stream = await context.create_new_resumable_stream(ID, source)
        chunks = [f"{number:09}\n" for number in range(50)]
        for chunk in chunks:
            source.put(chunk)
            assert await anext(stream) == chunk
        append = notebook.append

        async def slowly(*arguments: Any, ttl: int) -> bool:
            written = await append(*arguments, ttl=ttl)
            await asyncio.sleep(2)
            return written

        late: Any = slowly
        notebook.append = late  # type: ignore[method-assign]
        source.put("next")
        await asyncio.sleep(0.5)
        other, _, _ = journaled(here, None)
        replayed: Any = await other.resume_existing_stream(ID)
        source.finish()
        assert await rest(replayed) == [*chunks, "next"]
        assert await rest(stream) == ["next"]


@pytest.mark.rule("P4")
@in_virtual_time
async def test_a_replay_that_goes_on_live_waits_for_a_broker_that_is_away() -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async", buffer_limit=100)
        source = Source()
        await context.create_new_resumable_stream(ID, source)
        for number in range(50):
            source.put(f"{number:09}\n")
            await asyncio.sleep(0.3)
        other, broker, _ = journaled(here, None)
        stream: Any = await other.resume_existing_stream(ID)
        broker.away = True
        asyncio.get_running_loop().call_later(20, setattr, broker, "away", False)
        for _ in range(50):
            await anext(stream)
        source.put("after")
        source.finish()
        assert await rest(stream) == ["after"]


@pytest.mark.rule("P10")
@in_virtual_time
async def test_a_replay_that_went_on_live_leaves_nothing_when_it_is_closed() -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async", buffer_limit=100)
        source = Source()
        await context.create_new_resumable_stream(ID, source)
        for number in range(50):
            source.put(f"{number:09}\n")
            await asyncio.sleep(0.3)
        other, broker, _ = journaled(here, None)
        stream: Any = await other.resume_existing_stream(ID)
        for _ in range(50):
            await anext(stream)
        source.put("live")
        assert await anext(stream) == "live"
        assert broker._subscriptions
        stream.close()
        await asyncio.sleep(5)
        assert not broker._subscriptions
        assert await rest(stream) == []


@pytest.mark.rule("P12", "JNL-6")
@in_virtual_time
async def test_nothing_is_read_behind_the_end() -> None:
    async with world() as here:
        run = await produced(here, ["a"])
        context, _, notebook = journaled(here, None)
        late = encode_record(ID, data_frame(Place(1), b"b", generation=run))
        assert await notebook.append(NAMES.journal(ID, run), 1, late, ttl=60)
        assert await rest(await context.resume_existing_stream(ID)) == ["a"]
