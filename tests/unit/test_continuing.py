"""A stream whose producer was lost goes on under another one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import (
    HandshakeTimeoutError,
    InvalidArgumentError,
    ProducerLostError,
    ResumableStream,
    StreamHistoryChangedError,
)
from support.journals import died, journaled, kept, outcome
from support.virtual_time import in_virtual_time, loop_time
from support.world import ID, LEASE, NAMES, OUTCOME, SENTINEL, Source, rest, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class More:
    """What follows, and what it was told there is."""

    def __init__(self, *chunks: str) -> None:
        self.chunks = chunks
        self.so_far: list[tuple[str, ...]] = []

    async def __call__(self, so_far: Any) -> AsyncIterator[str]:
        self.so_far.append(so_far.chunks)
        assert so_far.text == "".join(so_far.chunks)
        for chunk in self.chunks:
            yield chunk


def never(*_: Any) -> Any:
    raise AssertionError("the source ran again")


@pytest.mark.rule("CNT-1", "CNT-2", "CNT-3", "CNT-4", "P1", "P12")
@pytest.mark.parametrize("durability", ["async", "sync"])
@in_virtual_time
async def test_the_next_caller_continues_what_was_lost(durability: str) -> None:
    async with world() as here:
        run = await died(here, "a", "b", durability=durability)
        context, _, _ = journaled(here, durability)
        other, _, _ = journaled(here, durability)
        more = More("c", "d")
        stream = await context.resumable_stream(ID, never, continue_lost=more)
        assert stream is not None
        elsewhere = await other.resume_existing_stream(ID, 1)
        by_id = await other.resume_existing_stream(ID, last_event_id=f"{run}-1")
        assert await rest(stream) == ["a", "b", "c", "d"]
        assert more.so_far == [("a", "b")]
        assert await rest(elsewhere) == ["b", "c", "d"]
        assert await rest(by_id) == ["b", "c", "d"]
        assert (await context.wait_for_end(ID)).state == "completed"
        assert await rest(await other.resume_existing_stream(ID)) == ["a", "b", "c", "d"]
        again = await other.resume_existing_stream(ID, last_event_id=f"{run}-2")
        assert await rest(again) == ["c", "d"]
        texts, ends = await kept(here, (await outcome(here)).generation or 0)
        assert ("".join(texts), ends) == ("abcd", ["completed"])


@pytest.mark.rule("CNT-1", "JNL-5")
@in_virtual_time
async def test_without_it_the_stream_stays_lost() -> None:
    async with world() as here:
        await died(here, "a")
        context, _, _ = journaled(here)
        stream = await context.resumable_stream(ID, never)
        with pytest.raises(ProducerLostError):
            await rest(stream)
        more = More("b")
        stream = await context.resumable_stream(ID, never, continue_lost=more)
        assert await rest(stream) == ["a", "b"], "also after its end was recorded"


@pytest.mark.rule("CNT-3", "P2")
@in_virtual_time
async def test_a_client_that_comes_back_with_its_event_id_continues() -> None:
    async with world() as here:
        run = await died(here, "a", "b")
        context, _, _ = journaled(here)
        more = More("c")
        stream = await context.resumable_stream(
            ID, never, last_event_id=f"{run}-1", continue_lost=more
        )
        assert await rest(stream) == ["b", "c"]


@pytest.mark.rule("CNT-1", "P5")
@in_virtual_time
async def test_of_two_callers_one_continues_and_the_other_joins() -> None:
    async with world() as here:
        await died(here, "a")
        contexts = [journaled(here)[0] for _ in range(3)]
        more = More("b", "c")
        streams = await asyncio.gather(
            *(one.resumable_stream(ID, never, continue_lost=more) for one in contexts)
        )
        assert await asyncio.gather(*map(rest, streams)) == [["a", "b", "c"]] * 3
        assert len(more.so_far) == 1


@pytest.mark.rule("CNT-1")
@in_virtual_time
async def test_a_source_that_dies_again_is_continued_again_up_to_the_limit() -> None:
    async with world() as here:
        await died(here, "a")
        context, _, _ = journaled(here)
        for number in range(3):
            producing, broker, notebook = journaled(here)
            source = Source(str(number))

            def more(_: Any, source: Source = source) -> Any:
                return source()

            stream = await producing.resumable_stream(
                ID, never, continue_lost=more, continue_at_most=2
            )
            assert isinstance(stream, ResumableStream)
            if number == 2:
                with pytest.raises(ProducerLostError):
                    await rest(stream)
                break
            await asyncio.sleep(3)
            broker.away = notebook.away = True
            await asyncio.sleep(16)
        late: Any = await context.resume_existing_stream(ID)
        assert [await anext(late) for _ in range(3)] == ["a", "0", "1"]
        with pytest.raises(ProducerLostError):
            await anext(late)


@pytest.mark.rule("CNT-5", "P1")
@pytest.mark.parametrize("durability", ["async", "sync"])
@in_virtual_time
async def test_readers_that_were_attached_move_over_by_themselves(durability: str) -> None:
    async with world() as here:
        producing, broker, notebook = journaled(here, durability)
        reading, _, _ = journaled(here, None)
        bare, _ = here.instance()
        source = Source("a", "b")
        await producing.create_new_resumable_stream(ID, source)
        await asyncio.sleep(3)
        readers: list[Any] = [
            await one.resume_existing_stream(ID, at) for one in (reading, bare) for at in (0, 1)
        ]
        tasks = [asyncio.create_task(rest(reader)) for reader in readers]
        await asyncio.sleep(1)
        broker.away = notebook.away = True
        await here.raw.delete(SENTINEL)  # as if the lease had run out
        context, _, _ = journaled(here, durability)
        stream = await context.resumable_stream(ID, never, continue_lost=More("c", "d"))
        assert await rest(stream) == ["a", "b", "c", "d"]
        assert await asyncio.gather(*tasks) == [["a", "b", "c", "d"], ["b", "c", "d"]] * 2


@pytest.mark.rule("CNT-3", "CNT-4", "CNT-5")
@pytest.mark.parametrize("over", [False, True])
@in_virtual_time
async def test_who_saw_more_than_was_kept_is_told_so(*, over: bool) -> None:
    async with world() as here:
        producing, broker, notebook = journaled(here, "async")
        reading, _, _ = journaled(here, None)
        source = Source("a", "b")
        await producing.create_new_resumable_stream(ID, source)
        await asyncio.sleep(3)
        reader: Any = await reading.resume_existing_stream(ID)
        assert [await anext(reader), await anext(reader)] == ["a", "b"]
        notebook.away = True
        source.put("lost")
        assert await anext(reader) == "lost"
        place = reader.last_event_id
        broker.away = True
        await here.raw.delete(SENTINEL)  # as if the lease had run out
        context, _, _ = journaled(here)
        source = Source("c")
        stream = await context.resumable_stream(ID, never, continue_lost=lambda _: source())
        if over:
            source.finish()
            assert await rest(stream) == ["a", "b", "c"]
        with pytest.raises(StreamHistoryChangedError, match="after 2 chunks") as told:
            await anext(reader)
        assert told.value.kept == 2
        for one in (context, reading):
            with pytest.raises(StreamHistoryChangedError, match="offset 0"):
                await rest(await one.resume_existing_stream(ID, last_event_id=place))


@pytest.mark.rule("CNT-1", "P1")
@pytest.mark.parametrize("durability", ["exit", "async", "sync"])
@in_virtual_time
async def test_a_context_that_closes_hands_over(durability: str) -> None:
    async with world() as here:
        closing, _, _ = journaled(here, durability)
        reading, _, _ = journaled(here, None)
        source = Source("a", "b")
        await closing.create_new_resumable_stream(ID, source)
        reader: Any = await reading.resume_existing_stream(ID)
        assert [await anext(reader), await anext(reader)] == ["a", "b"]
        place = reader.last_event_id
        await asyncio.sleep(2)
        began = loop_time()
        await closing.aclose(0)
        context, _, _ = journaled(here, durability)
        more = More("c")
        stream = await context.resumable_stream(ID, never, last_event_id=place, continue_lost=more)
        assert await rest(stream) == ["c"]
        assert more.so_far == [("a", "b")]
        assert loop_time() < began + LEASE / 2, "no lease is waited for"
        late = await reading.resume_existing_stream(ID, last_event_id=place)
        assert late is None or await rest(late) == ["c"]
        again, _, _ = journaled(here, durability)
        assert await rest(await again.resume_existing_stream(ID)) == ["a", "b", "c"]


@pytest.mark.rule("CNT-1", "P2")
@in_virtual_time
async def test_no_source_runs_anew_for_an_event_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was lost may expire between the look and the claim."""
    async with world() as here:
        context, _, _ = journaled(here)
        looks = iter([True])

        async def is_lost(*_: Any) -> bool:
            return next(looks, False)

        monkeypatch.setattr("resumable_stream._instance.Instance.is_lost", is_lost)
        with pytest.raises(StreamHistoryChangedError):
            await context.resumable_stream(
                ID, never, last_event_id="77-3", continue_lost=More("never")
            )
        await asyncio.sleep(1.1)
        assert await here.sentinel() is None


@pytest.mark.rule("CNT-1", "P3", "P12")
@in_virtual_time
async def test_who_looks_while_a_stream_is_continued_joins_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as here:
        await died(here, "a")
        with pytest.raises(ProducerLostError):
            await rest(await journaled(here)[0].resumable_stream(ID, never))
        context, broker, _ = journaled(here)
        other, _, _ = journaled(here)
        more = Source("b")
        read = broker.get

        async def slowly(key: str) -> str | None:
            if key == OUTCOME:
                monkeypatch.undo()
                await other.resumable_stream(ID, never, continue_lost=lambda _: more())
            return await read(key)

        monkeypatch.setattr(broker, "get", slowly)
        stream = await context.resume_existing_stream(ID)
        more.finish()
        assert await rest(stream) == ["a", "b"]


@pytest.mark.rule("CNT-3", "P2", "P12")
@pytest.mark.parametrize("beside", [True, False])
@in_virtual_time
async def test_an_old_event_id_is_served_from_the_journal_once_its_place_is_trimmed(
    beside: bool,  # noqa: FBT001 - a parameter
) -> None:
    async with world() as here:
        run = await died(here, "a", "b", "c")
        context, _, _ = journaled(here, buffer_limit=100)
        other, _, _ = journaled(here)
        more = Source("d" * 90)
        await context.resumable_stream(ID, never, continue_lost=lambda _: more())
        await asyncio.sleep(3)
        more.put("e" * 90)
        await asyncio.sleep(3)
        reading = context if beside else other
        stream = await reading.resume_existing_stream(ID, last_event_id=f"{run}-1")
        more.finish()
        assert await rest(stream) == ["b", "c", "d" * 90, "e" * 90]


@pytest.mark.rule("CNT-2", "P1")
@in_virtual_time
async def test_who_continues_reads_all_of_what_its_buffer_does_not_hold() -> None:
    async with world() as here:
        faces = "\N{GRINNING FACE}" * 4  # twice as many code units
        await died(here, faces, faces)
        context, _, _ = journaled(here, "sync", buffer_limit=10)
        stream = await context.resumable_stream(ID, never, continue_lost=More("b"))
        assert await rest(stream) == [faces, faces, "b"]


@pytest.mark.rule("CNT-5", "P1")
@in_virtual_time
async def test_who_moves_over_reads_what_is_served_and_not_kept() -> None:
    async with world() as here:
        await died(here, "a", "b")
        reader: Any = await journaled(here)[0].resume_existing_stream(ID)
        assert [await anext(reader), await anext(reader)] == ["a", "b"]
        context, _, _ = journaled(here, journal_limit=2_000)
        long = "c" * 3_000
        stream = await context.resumable_stream(ID, never, continue_lost=More(long))
        assert await rest(stream) == ["a", "b", long]
        await asyncio.sleep(1)
        assert not (await outcome(here)).kept_until
        assert await rest(reader) == [long]


@pytest.mark.rule("CNT-1", "P5")
@pytest.mark.parametrize("durability", ["exit", "async", "sync"])
@in_virtual_time
async def test_a_journal_that_is_slow_lets_nobody_else_continue(durability: str) -> None:
    async with world() as here:
        await died(here, "a")
        context, _, notebook = journaled(here, durability)
        other, _, _ = journaled(here, durability)

        async def slow() -> None:
            await asyncio.sleep(3 * LEASE)

        notebook.meanwhile = slow
        more = More("b")
        first = asyncio.create_task(context.resumable_stream(ID, never, continue_lost=more))
        await asyncio.sleep(1.2 * LEASE)
        with pytest.raises(HandshakeTimeoutError):
            await other.resumable_stream(ID, never, continue_lost=more)
        stream = await first
        notebook.meanwhile = None
        assert await rest(stream) == ["a", "b"]
        assert len(more.so_far) == 1


@pytest.mark.rule("CNT-1", "P5")
@in_virtual_time
async def test_who_was_cut_off_while_it_claimed_runs_nothing() -> None:
    async with world() as here:
        await died(here, "a")
        context, broker, notebook = journaled(here, "exit")
        other, _, _ = journaled(here)

        async def cut_off() -> None:
            notebook.meanwhile = None
            broker.away = True
            await asyncio.sleep(2 * LEASE)
            await other.resumable_stream(ID, never, continue_lost=lambda _: more())
            broker.away = False

        more = Source("b")
        notebook.meanwhile = cut_off
        stream = await context.resumable_stream(ID, never, continue_lost=never)
        more.finish()
        assert await rest(stream) == ["a", "b"]


@pytest.mark.rule("CNT-6", "JNL-8")
@in_virtual_time
async def test_deleting_erases_every_run() -> None:
    async with world() as here:
        first = await died(here, "a")
        context, _, _ = journaled(here)
        await rest(await context.resumable_stream(ID, never, continue_lost=More("b")))
        second = (await outcome(here)).generation or 0
        assert await context.delete_stream(ID) == "deleted"
        for run in (first, second):
            assert await kept(here, run) == ([], [])


@pytest.mark.rule("CNT-2")
@in_virtual_time
async def test_a_continuation_that_dies_at_once_loses_nothing() -> None:
    """Until its log has all of the text, the one before is the stream's."""
    async with world() as here:
        run = await died(here, "a", "b")
        context, broker, notebook = journaled(here)
        append = notebook.append

        async def stuck(log: str, index: int, record: bytes, *, ttl: int) -> bool:
            if log != NAMES.journal(ID, run):
                await asyncio.sleep(10**6)
            return await append(log, index, record, ttl=ttl)

        notebook.append = stuck  # type: ignore[method-assign]

        async def call() -> None:
            await context.resumable_stream(ID, never, continue_lost=More("never"))

        calling = asyncio.create_task(call())
        await asyncio.sleep(2)
        broker.away = True
        calling.cancel()
        await asyncio.wait({calling})
        await asyncio.sleep(LEASE + 2)
        other, _, _ = journaled(here)
        stream = await other.resumable_stream(ID, never, continue_lost=More("c"))
        assert await rest(stream) == ["a", "b", "c"]


@pytest.mark.parametrize("value", [0, 101, True, 1.5, "3"])
@in_virtual_time
async def test_invalid_limits_are_named(value: Any) -> None:
    async with world() as here:
        context, _, _ = journaled(here)
        with pytest.raises(InvalidArgumentError, match="continue_at_most"):
            await context.resumable_stream(ID, never, continue_lost=More(), continue_at_most=value)
        with pytest.raises(InvalidArgumentError, match="continue_lost"):
            await context.resumable_stream(ID, never, continue_lost=3)  # type: ignore[arg-type]


@pytest.mark.rule("CNT-5", "P10")
@in_virtual_time
async def test_a_reader_that_left_meanwhile_reads_on_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as here:
        producing, broker, notebook = journaled(here)
        reading, _, _ = journaled(here, None)
        await producing.create_new_resumable_stream(ID, Source("a"))
        reader: Any = await reading.resume_existing_stream(ID)
        assert await anext(reader) == "a"
        found: list[Any] = []
        find = reader._find_next

        async def slowly(lost: Any) -> Any:
            found.append(await find(lost))
            await reader.aclose()
            return found[0]

        monkeypatch.setattr(reader, "_find_next", slowly)
        await asyncio.sleep(2)
        broker.away = notebook.away = True
        await here.raw.delete(SENTINEL)
        context, _, _ = journaled(here)
        source = Source("b")
        await context.resumable_stream(ID, never, continue_lost=lambda _: source())
        with pytest.raises(ProducerLostError):
            await asyncio.wait_for(anext(reader), 60)
        assert found[0] is not None
        assert reader._reader is not found[0]
        source.finish()
