"""Reading from the journal what no producer serves any more."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import (
    NOT_FOUND,
    BackendUnavailableError,
    ContextClosedError,
    DeleteResult,
    InvalidEventIdError,
    InvalidOffsetError,
    ProducerLostError,
    StreamCancelledError,
    StreamFailedError,
    StreamHistoryChangedError,
    StreamState,
)
from resumable_stream._protocol.sentinel import Outcome, Running, generation_of
from resumable_stream._text.endings import Ending, Status
from support.journals import journaled, kept
from support.virtual_time import in_virtual_time
from support.world import ID, NAMES, OUTCOME, SENTINEL, Source, rest, world

if TYPE_CHECKING:
    from support.world import World

CHUNKS = ["a", "", "bc", "\ud83d", "\ude00", "x" * 70_000, "\x1e\x1f", "end"]


async def produced(
    here: World, chunks: list[str], durability: str = "async", error: Exception | None = None
) -> int:
    """Produce a stream to its end, close its context, and let the grace pass."""
    context, _, _ = journaled(here, durability)
    source = Source(*chunks)
    source.finish(error)
    stream = await context.create_new_resumable_stream(ID, source)
    run = generation_of(await here.sentinel() or "")
    await stream.aclose()
    await asyncio.sleep(2)
    await context.aclose()
    await asyncio.sleep(120)
    return run


async def died(here: World, *chunks: str, durability: str = "async") -> int:
    """Let a producer die, as far as the broker can tell, once its text is written."""
    context, broker, notebook = journaled(here, durability)
    source = Source(*chunks)
    await context.create_new_resumable_stream(ID, source)
    run = generation_of(await here.sentinel() or "")
    await asyncio.sleep(3)
    broker.away = notebook.away = True
    await asyncio.sleep(16)
    assert await here.sentinel() is None
    return run


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
        source.put("after")
        assert await anext(stream) == "after"
        assert (stream.offset, stream.last_event_id) == (505, f"{run}-51")


@pytest.mark.rule("P3", "JNL-8")
@in_virtual_time
async def test_a_deleted_stream_is_gone_and_its_id_is_free() -> None:
    async with world() as here:
        run = await produced(here, ["a"])
        context, _, _ = journaled(here, "async")
        assert await context.delete_stream(ID) is DeleteResult.DELETED
        assert await context.resume_existing_stream(ID) is NOT_FOUND
        assert await context.delete_stream(ID) is DeleteResult.NOT_FOUND
        assert await kept(here, run) == ([], [])
        source = Source("new")
        stream = await context.resumable_stream(ID, source)
        assert await context.delete_stream(ID) is DeleteResult.STILL_ACTIVE
        source.finish()
        assert await rest(stream) == ["new"]
        assert await context.delete_stream(ID) is DeleteResult.DELETED
        assert await rest(await context.resumable_stream(ID, ending_with("again"))) == ["again"]


@pytest.mark.rule("P3", "P12")
@in_virtual_time
async def test_a_stream_that_is_being_deleted_never_looks_complete() -> None:
    async with world() as here:
        await produced(here, ["a"], error=ValueError("no"))
        broker: Any
        context, broker, _ = journaled(here, "async")
        reader, _, _ = journaled(here, None)
        swap = broker.compare_and_set

        async def slowly(*arguments: str, ttl: int) -> bool:
            await asyncio.sleep(0.3)
            return bool(await swap(*arguments, ttl=ttl))

        broker.compare_and_set = slowly
        deleting = asyncio.create_task(context.delete_stream(ID))
        found: Any = None
        while found is not NOT_FOUND:
            with contextlib.suppress(StreamFailedError):
                found = await reader.resume_existing_stream(ID)
                assert found is not None, "it is said to be complete"
            await asyncio.sleep(0.01)
        assert await deleting is DeleteResult.DELETED
        source = ending_with("again")
        assert await rest(await reader.resumable_stream(ID, source)) == ["again"]
        assert source.calls == 1


@pytest.mark.rule("P3", "JNL-8")
@in_virtual_time
async def test_what_a_dead_producer_left_can_be_deleted() -> None:
    async with world() as here:
        await died(here, "a")
        context, _, _ = journaled(here, "async")
        assert await context.delete_stream(ID) is DeleteResult.DELETED
        stream = await context.resumable_stream(ID, ending_with("again"))
        assert await rest(stream) == ["again"]


def ending_with(*chunks: str) -> Source:
    source = Source(*chunks)
    source.finish()
    return source


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
