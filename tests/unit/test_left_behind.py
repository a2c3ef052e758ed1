"""What readers get of a producer that died, in whatever moment, and whose text is kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import (
    BackendUnavailableError,
    ContextClosedError,
    DeleteResult,
    ProducerLostError,
    StreamCancelledError,
    StreamState,
    StreamSupersededError,
)
from resumable_stream._protocol import sentinel
from resumable_stream._protocol.sentinel import Outcome, Running, generation_of
from support.journals import journaled, kept
from support.virtual_time import in_virtual_time, loop_time
from support.world import ID, NAMES, OUTCOME, SENTINEL, Source, rest, world

if TYPE_CHECKING:
    from resumable_stream import ResumableStream
    from support.world import World


async def read_to_error(stream: Any, kind: type[Exception]) -> tuple[list[str], Exception]:
    chunks: list[str] = []
    try:
        async for chunk in stream:
            chunks.append(chunk)  # noqa: PERF401 - what came before the error is kept
    except kind as error:
        return chunks, error
    raise AssertionError(f"ended normally after {chunks}")


class Dying:
    """A producer whose connections can be cut, a reader elsewhere, and one that comes later."""

    def __init__(self, here: World, durability: str) -> None:
        self.here = here
        self.producing, self.broker, self.notebook = journaled(here, durability)
        self.reading, _, self.read_from = journaled(here, None)
        self.late, _, _ = journaled(here, durability)
        self.source = Source("a", "b")
        self.run = 0

    async def begin(self) -> ResumableStream:
        await self.producing.create_new_resumable_stream(ID, self.source)
        self.run = generation_of(await self.here.sentinel() or "")
        reader: Any = await self.reading.resume_existing_stream(ID)
        assert [await anext(reader), await anext(reader)] == ["a", "b"]
        await asyncio.sleep(2)
        return reader  # type: ignore[no-any-return]

    def die(self) -> None:
        self.broker.away = self.notebook.away = True

    def die_before(self, key: str, word: str) -> None:
        """Die just before the key gets a value with this word."""
        broker: Any = self.broker
        for name in ("create", "compare_and_set"):
            setattr(broker, name, self._watched(getattr(broker, name), key, word))

    def _watched(self, write: Any, key: str, word: str) -> Any:
        async def watched(name: str, *values: str, ttl: int) -> bool:
            if name == key and word in values[-1]:
                self.die()
            return await write(name, *values, ttl=ttl)  # type: ignore[no-any-return]

        return watched


@pytest.mark.rule("P1", "P3", "P12")
@pytest.mark.parametrize("durability", ["async", "sync"])
@in_virtual_time
async def test_an_attached_reader_gets_what_it_missed_of_a_dead_producer(durability: str) -> None:
    async with world() as here:
        dying = Dying(here, durability)
        reader = await dying.begin()
        dying.broker.drop = lambda _channel, _message: True
        dying.source.put("c")
        await asyncio.sleep(2)
        assert "".join((await kept(here, dying.run))[0]) == "abc"
        dying.die()
        assert [await anext(reader), reader.last_event_id] == ["c", f"{dying.run}-3"]
        with pytest.raises(ProducerLostError) as caught:
            await anext(reader)
        assert caught.value.offset == reader.offset == 3
        with pytest.raises(ProducerLostError):
            await anext(reader)


@pytest.mark.rule("P3", "P12")
@in_virtual_time
async def test_runs_go_on_in_the_journal_too() -> None:
    async with world() as here:
        dying = Dying(here, "async")
        runs = (await dying.begin()).runs()
        dying.broker.drop = lambda _channel, _message: True
        dying.source.put("c")
        dying.source.put("d")
        await asyncio.sleep(2)
        dying.die()
        assert await anext(runs) == ["c", "d"]
        with pytest.raises(ProducerLostError):
            await anext(runs)


@pytest.mark.rule("P1", "P3")
@in_virtual_time
async def test_an_attached_reader_that_has_more_than_the_journal_keeps_its_place() -> None:
    async with world() as here:
        dying = Dying(here, "async")
        reader = await dying.begin()
        dying.notebook.away = True
        dying.source.put("c")
        assert await anext(reader) == "c"
        dying.die()
        with pytest.raises(ProducerLostError) as caught:
            await anext(reader)
        assert caught.value.offset == reader.offset == 3
        assert reader.last_event_id == f"{dying.run}-3"
        for replayed in (
            await dying.late.resume_existing_stream(ID, last_event_id=f"{dying.run}-3"),
            await dying.late.resumable_stream(ID, Source(), last_event_id=f"{dying.run}-3"),
        ):
            with pytest.raises(ProducerLostError):
                await rest(replayed)
        found: Any = await dying.late.resume_existing_stream(ID)
        assert (await read_to_error(found, ProducerLostError))[0] == ["a", "b"]


@pytest.mark.rule("P3", "P5", "P12")
@pytest.mark.parametrize("durability", ["async", "sync"])
@pytest.mark.parametrize("before", [(OUTCOME, "completed"), (SENTINEL, "DONE")])
@in_virtual_time
async def test_a_whole_text_ends_as_it_ended(durability: str, before: tuple[str, str]) -> None:
    async with world() as here:
        dying = Dying(here, durability)
        reader = await dying.begin()
        dying.die_before(*before)
        dying.source.put("c")
        dying.source.finish()
        assert await rest(reader) == ["c"]
        found: Any = await dying.late.resume_existing_stream(ID)
        assert await rest(found) == ["a", "b", "c"]
        source = Source("never")
        assert await rest(await dying.late.resumable_stream(ID, source)) == ["a", "b", "c"]
        assert source.calls == 0
        assert await here.sentinel() == "DONE"
        assert (await dying.late.stream_status(ID)).state is StreamState.COMPLETED
        assert await kept(here, dying.run) == (["ab", "c"], ["completed"])


@pytest.mark.rule("P3", "P12")
@in_virtual_time
async def test_an_outcome_is_remembered_though_done_was_never_written() -> None:
    async with world() as here:
        dying = Dying(here, "exit")
        reader = await dying.begin()
        dying.die_before(SENTINEL, "DONE")
        await asyncio.gather(dying.producing.cancel_stream(ID), read_to_cancel(reader))
        status = await dying.late.stream_status(ID)
        assert (status.state, status.generation) == (StreamState.CANCELLED, dying.run)
        assert await dying.late.cancel_stream(ID) == "already_over"
        assert await dying.late.delete_stream(ID) is DeleteResult.DELETED
        source = Source("new")
        source.finish()
        assert await rest(await dying.late.resumable_stream(ID, source)) == ["new"]


async def read_to_cancel(reader: ResumableStream) -> None:
    with pytest.raises(StreamCancelledError):
        await rest(reader)


@pytest.mark.rule("P3")
@in_virtual_time
async def test_an_outcome_that_outlives_its_text_frees_the_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sentinel, "wall_clock", lambda: 10**9 + loop_time())
    async with world() as here:
        context, _, _ = journaled(here, "async", retention=60, done_ttl=60)
        source = Source("a")
        source.finish()
        assert await rest(await context.create_new_resumable_stream(ID, source)) == ["a"]
        await asyncio.sleep(61)
        assert await here.sentinel() is None
        assert Outcome.decode(await here.raw.get(OUTCOME)) is not None
        again = Source("b")
        again.finish()
        assert await rest(await context.resumable_stream(ID, again)) == ["b"]
        assert again.calls == 1


@pytest.mark.rule("P5")
@in_virtual_time
async def test_a_reader_of_a_fenced_producer_is_not_given_its_successors_text() -> None:
    async with world() as here:
        dying = Dying(here, "async")
        reader = await dying.begin()
        dying.die()
        # Somebody else has the id, and its pointer stands where the dead producer's did.
        await here.raw.set(OUTCOME, Running(dying.run + 1, 10**10).encode(), ttl=100)
        await here.raw.set(SENTINEL, str((dying.run + 1) << 20), ttl=100)
        with pytest.raises(StreamSupersededError):
            await asyncio.wait_for(anext(reader), 60)


@pytest.mark.rule("P4")
@in_virtual_time
async def test_a_reader_that_cannot_ask_the_journal_is_told_so_and_may_ask_again() -> None:
    async with world() as here:
        dying = Dying(here, "async")
        reader = await dying.begin()
        dying.broker.drop = lambda _channel, _message: True
        dying.source.put("c")
        await asyncio.sleep(2)
        dying.die()
        dying.read_from.away = True
        with pytest.raises(BackendUnavailableError):
            await asyncio.wait_for(anext(reader), 90)
        dying.read_from.away = False
        assert await anext(reader) == "c"


@pytest.mark.rule("P4")
@in_virtual_time
async def test_a_reader_that_has_lost_its_producer_waits_for_a_journal_that_is_away() -> None:
    async with world() as here:
        dying = Dying(here, "async")
        reader: Any = await dying.begin()
        dying.broker.drop = lambda _channel, _message: True
        dying.source.put("c")
        await asyncio.sleep(2)
        dying.die()
        dying.read_from.away = True
        asyncio.get_running_loop().call_later(40, setattr, dying.read_from, "away", False)
        assert await anext(reader) == "c"


@pytest.mark.rule("P4")
@in_virtual_time
async def test_a_reader_that_waits_for_the_journal_ends_with_its_context() -> None:
    async with world() as here:
        dying = Dying(here, "async")
        reader: Any = await dying.begin()
        dying.broker.away = dying.notebook.away = dying.read_from.away = True
        waiting = asyncio.create_task(anext(reader))
        await asyncio.sleep(30)
        await dying.reading.aclose(0)
        with pytest.raises(ContextClosedError):
            await asyncio.wait_for(waiting, 2)


@pytest.mark.rule("P8")
@in_virtual_time
async def test_no_journal_is_asked_for_a_stream_that_is_not_kept() -> None:
    async with world() as here:
        producing, broker, _ = journaled(here, None)
        reading, _, notebook = journaled(here, None)
        source = Source("a")
        await producing.create_new_resumable_stream(ID, source)
        reader: Any = await reading.resume_existing_stream(ID)
        assert await anext(reader) == "a"
        broker.away = True
        with pytest.raises(ProducerLostError):
            await anext(reader)
        assert notebook.calls == 0
        assert await here.raw.get(NAMES.outcome(ID)) is None


@pytest.mark.rule("P3", "P5")
@in_virtual_time
async def test_a_producer_that_was_buried_does_not_take_that_end_for_its_own() -> None:
    async with world() as here:
        dying = Dying(here, "async")
        await dying.begin()
        dying.die()
        await asyncio.sleep(20)
        assert (await read_to_error(await begun(dying), ProducerLostError))[0] == ["a", "b"]
        dying.source.put("c")
        dying.source.finish()
        await asyncio.sleep(7)
        dying.broker.away = dying.notebook.away = False
        await asyncio.sleep(5)
        # Also where it was produced, and during the grace, nobody is told that it has completed.
        again: Any = await dying.producing.resume_existing_stream(ID, 0)
        assert (await read_to_error(again, ProducerLostError))[0] == ["a", "b"]


async def begun(dying: Dying) -> ResumableStream:
    stream = await dying.late.resumable_stream(ID, Source("never"))
    assert stream is not None
    return stream


@pytest.mark.rule("P3", "JNL-7")
@in_virtual_time
async def test_the_status_of_a_text_whose_end_is_written_is_that_end() -> None:
    async with world() as here:
        dying = Dying(here, "async")
        await dying.begin()
        dying.die_before(OUTCOME, "completed")
        dying.source.put(*(f"{number:0100}" for number in range(2000)))
        await asyncio.sleep(2)
        dying.source.finish()
        await asyncio.sleep(20)
        texts, ends = await kept(here, dying.run)
        assert ends == ["completed"]
        calls, status = dying.read_from.calls, await dying.reading.stream_status(ID)
        assert (status.state, status.generation) == (StreamState.COMPLETED, dying.run)
        assert status.kept_until is not None
        assert dying.read_from.calls - calls <= 2 * len(texts).bit_length() + 2
        assert await dying.reading.has_existing_stream(ID) == "DONE"


@pytest.mark.rule("P3", "JNL-7")
@in_virtual_time
async def test_the_status_of_a_text_without_its_end_is_lost() -> None:
    async with world() as here:
        dying = Dying(here, "async")
        await dying.begin()
        await asyncio.sleep(2)
        dying.die()
        await asyncio.sleep(20)
        assert (await dying.reading.stream_status(ID)).state is StreamState.LOST
        dying.read_from.away = True
        with pytest.raises(BackendUnavailableError):
            await dying.reading.stream_status(ID)


@pytest.mark.rule("P3")
@in_virtual_time
async def test_the_status_of_a_text_that_cannot_be_read_is_lost() -> None:
    async with world() as here:
        dying = Dying(here, "async")
        await dying.begin()
        dying.die()
        await asyncio.sleep(20)
        log = NAMES.journal(ID, dying.run)
        await dying.read_from.delete(log)
        assert await dying.read_from.append(log, 0, b"nonsense", ttl=60)
        assert (await dying.reading.stream_status(ID)).state is StreamState.LOST
