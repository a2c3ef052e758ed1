"""What the application is told at the end of a stream that it started."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import (
    EndStatus,
    InvalidArgumentError,
    ProducerLostError,
    StreamEnd,
    StreamFailedError,
    closing_status,
    create_resumable_stream_context,
)
from support.virtual_time import in_virtual_time, loop_time
from support.world import ID, OUTCOME, SENTINEL, Source, rest, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resumable_stream import ResumableStreamContext
    from support.world import World


class Store:
    """Where an application keeps its answers."""

    def __init__(self, here: World) -> None:
        self.ends: list[StreamEnd] = []
        self.texts: list[str] = []
        self.recorded: list[bool] = []
        self.source = Source("so ", "far")
        self.source_closed: list[bool] = []
        self._here = here

    async def keep(self, end: StreamEnd) -> None:
        self.ends.append(end)
        self.source_closed.append(self.source.closed)
        self.recorded.append(await self._here.raw.get(OUTCOME) is not None)
        self.texts.append(end.text)


async def completed(context: ResumableStreamContext, store: Store) -> None:
    store.source.finish()
    await context.wait_for_end(ID)


async def failed(context: ResumableStreamContext, store: Store) -> None:
    store.source.finish(LookupError("no such model"))
    await context.wait_for_end(ID)


async def cancelled(context: ResumableStreamContext, _store: Store) -> None:
    assert await context.cancel_stream(ID) == "cancelled"


async def lost(context: ResumableStreamContext, _store: Store) -> None:
    await context.aclose(0)


@pytest.mark.parametrize("end", [completed, failed, cancelled, lost])
@in_virtual_time
async def test_every_ending_is_told_once_with_the_text_so_far(end: Any) -> None:
    async with world() as here:
        context, _ = here.instance()
        store = Store(here)
        await context.create_new_resumable_stream(ID, store.source, on_end=store.keep)
        await asyncio.sleep(0.1)
        await end(context, store)
        await context.aclose(0)
        (told,) = store.ends
        assert (told.stream_id, told.status) == (ID, end.__name__)
        assert isinstance(told.status, EndStatus)
        assert told.whole
        assert (store.texts, list(told.chunks)) == (["so far"], ["so ", "far"])
        assert isinstance(told.error, LookupError) == (end is failed)
        assert store.source_closed == [True]
        assert store.recorded == [False], "who learns elsewhere of the end finds the answer stored"


@in_virtual_time
async def test_a_superseded_run_is_told_as_that() -> None:
    async with world() as here:
        context, broker = here.instance()
        store = Store(here)
        await context.create_new_resumable_stream(ID, store.source, on_end=store.keep)
        await here.raw.set(SENTINEL, str(1 << 20), ttl=60)
        broker.reconnect()
        await asyncio.sleep(1)
        assert [end.status for end in store.ends] == ["superseded"]


@in_virtual_time
async def test_a_run_that_was_superseded_just_before_its_end_is_told_as_that() -> None:
    async with world() as here:
        context, _ = here.instance()
        store = Store(here)
        await context.create_new_resumable_stream(ID, store.source, on_end=store.keep)
        await here.raw.set(SENTINEL, str(1 << 20), ttl=60)
        store.source.finish()
        await asyncio.sleep(1)
        assert [end.status for end in store.ends] == ["superseded"]
        assert await here.sentinel() == str(1 << 20)


@in_virtual_time
async def test_an_outage_does_not_keep_the_answer_from_being_stored() -> None:
    async with world() as here:
        context, broker = here.instance()
        store = Store(here)
        stream = await context.create_new_resumable_stream(ID, store.source, on_end=store.keep)
        broker.running.clear()
        store.source.finish()
        assert await rest(stream) == ["so ", "far"]
        await asyncio.sleep(1.5)
        assert [end.status for end in store.ends] == ["completed"]
        broker.running.set()


@in_virtual_time
async def test_only_the_call_that_starts_the_stream_is_told() -> None:
    async with world() as here:
        context, _ = here.instance()
        store, other = Store(here), Store(here)
        await context.resumable_stream(ID, store.source, on_end=store.keep)
        await context.resumable_stream(ID, store.source, on_end=other.keep)
        store.source.finish()
        await context.wait_for_end(ID)
        assert (len(store.ends), len(other.ends)) == (1, 0)


@in_virtual_time
async def test_a_context_has_a_default_which_a_call_replaces() -> None:
    async with world() as here:
        store, other = Store(here), Store(here)
        _, broker = here.instance()
        context = create_resumable_stream_context(backend=broker, on_end=store.ends.append)
        here.contexts.append(context)
        first, second = Source("1"), Source("2")
        await context.resumable_stream("first", first)
        await context.create_new_resumable_stream("second", second, on_end=other.ends.append)
        first.finish()
        second.finish()
        await context.wait_for_end("first")
        await context.wait_for_end("second")
        assert [end.text for end in store.ends] == ["1"]
        assert [end.text for end in other.ends] == ["2"]


class StoreError(BaseException):
    """Worse than an exception."""


async def raises(_end: StreamEnd) -> None:
    raise ValueError("the database is away")


def raises_at_once(_end: StreamEnd) -> None:
    raise ValueError("the database is away")


async def raises_worse(_end: StreamEnd) -> None:
    raise StoreError("the database is away")


@pytest.mark.parametrize("on_end", [raises, raises_at_once, raises_worse])
@in_virtual_time
async def test_its_failure_is_logged_and_told_to_nobody(
    caplog: pytest.LogCaptureFixture, on_end: Any
) -> None:
    async with world() as here:
        context, _ = here.instance()
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source, on_end=on_end)
        source.finish()
        assert await rest(stream) == ["a"]
        assert (await context.wait_for_end(ID)).state == "completed"
        assert await here.sentinel() == "DONE"
    (record,) = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert "the database is away" in logging.Formatter().format(record)


@pytest.mark.rule("P4")
@in_virtual_time
async def test_one_that_hangs_is_cancelled_and_the_end_recorded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def hangs(_end: StreamEnd) -> None:
        await asyncio.Event().wait()

    async with world() as here:
        context, _ = here.instance(lease=2)
        remote, _ = here.instance(lease=2)
        source = Source("a")
        await context.create_new_resumable_stream(ID, source, on_end=hangs)
        elsewhere = await remote.resume_existing_stream(ID)
        source.finish()
        began = loop_time()
        assert await rest(elsewhere) == ["a"], "the lease is kept meanwhile"
        assert 9 < loop_time() - began < 12
    assert any("on_end took longer" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("where", ["beside the producer", "elsewhere"])
@in_virtual_time
async def test_who_is_told_that_it_is_over_finds_it_stored(where: str) -> None:
    async with world() as here:
        context, _ = here.instance()
        stored: list[str] = []

        async def slow(end: StreamEnd) -> None:
            await asyncio.sleep(5)
            stored.append(end.text)

        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source, on_end=slow)
        source.finish()
        assert await rest(stream) == ["a"]
        asking = context if where == "beside the producer" else here.instance()[0]
        assert (await asking.stream_status(ID)).state == "active"
        assert await asking.has_existing_stream(ID) is True
        if where == "beside the producer":
            assert await asking.resume_existing_stream(ID) is None
        else:
            assert await rest(await asking.resume_existing_stream(ID)) == ["a"]
        assert stored == ["a"]
        assert (await asking.stream_status(ID)).state == "completed"


@in_virtual_time
async def test_a_stop_waits_for_it_wherever_it_is_asked_for() -> None:
    async with world() as here:
        context, _ = here.instance(lease=1, handshake_timeout=1)
        other, _ = here.instance(lease=1, handshake_timeout=1)
        stored: list[str] = []

        async def slow(end: StreamEnd) -> None:
            await asyncio.sleep(8)
            stored.append(end.text)

        await context.create_new_resumable_stream(ID, Source("a"), on_end=slow)
        await asyncio.sleep(0.1)
        assert await other.cancel_stream(ID) == "cancelled"
        assert stored == ["a"]


@in_virtual_time
async def test_a_trimmed_front_is_told() -> None:
    async with world() as here:
        context, _ = here.instance(buffer_limit=100)
        ends: list[StreamEnd] = []
        source = Source(*(f"{number:09} " for number in range(100)))
        source.finish()
        await context.create_new_resumable_stream(ID, source, on_end=ends.append)
        await context.wait_for_end(ID)
        assert not ends[0].whole
        assert ends[0].text.endswith("000000099 ")


@in_virtual_time
async def test_what_cannot_be_called_is_refused() -> None:
    async with world() as here:
        context, broker = here.instance()
        source: Any = Source("a")
        bad: Any = "store"
        for call in (context.resumable_stream, context.create_new_resumable_stream):
            with pytest.raises(InvalidArgumentError, match="on_end is str"):
                await call(ID, source, on_end=bad)
        with pytest.raises(InvalidArgumentError, match="on_end is str"):
            create_resumable_stream_context(backend=broker, on_end=bad)
        assert await here.sentinel() is None


@pytest.mark.parametrize("end", [cancelled, lost])
@in_virtual_time
async def test_a_source_learns_why_it_is_closed(end: Any) -> None:
    learnt: list[EndStatus | None] = []

    async def source() -> AsyncIterator[str]:
        learnt.append(closing_status())
        yield "a"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            learnt.append(closing_status())
            raise

    async with world() as here:
        context, _ = here.instance()
        await context.create_new_resumable_stream(ID, source)
        await asyncio.sleep(0.1)
        await end(context, Store(here))
        assert learnt == [None, end.__name__]
        assert closing_status() is None


def test_a_source_learns_that_the_event_loop_ends() -> None:
    learnt: list[EndStatus | None] = []
    ends: list[StreamEnd] = []

    async def source() -> AsyncIterator[str]:
        yield "a"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            learnt.append(closing_status())
            raise

    async def main() -> None:
        context = create_resumable_stream_context("memory://loop-ends")
        stream = await context.create_new_resumable_stream(ID, source, on_end=ends.append)
        await anext(stream)

    asyncio.run(main())
    assert learnt == ["lost"]
    assert [(end.status, end.text) for end in ends] == [("lost", "a")]


@in_virtual_time
async def test_a_worker_waits_for_the_end_and_for_readers_elsewhere() -> None:
    async with world() as here:
        context, _ = here.instance()
        remote, _ = here.instance()
        source = Source("a")
        await context.create_new_resumable_stream(ID, source)
        elsewhere = await remote.resume_existing_stream(ID)
        waiting = asyncio.create_task(context.wait_for_end(ID))
        await asyncio.sleep(1)
        assert not waiting.done()
        source.finish()
        assert await rest(elsewhere) == ["a"]
        async with asyncio.timeout(5):
            assert (await waiting).state == "completed"
        assert (await context.wait_for_end(ID)).state == "completed"
        assert (await remote.wait_for_end("nobody's")).state == "not_found"


@in_virtual_time
async def test_a_worker_whose_wait_is_cancelled_goes_on_producing() -> None:
    async with world() as here:
        context, _ = here.instance()
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(context.wait_for_end(ID), 1)
        source.put("b")
        source.finish()
        assert await rest(stream) == ["a", "b"]


@in_virtual_time
async def test_failed_and_lost_streams_keep_their_errors() -> None:
    async with world() as here:
        context, _ = here.instance()
        source = Source("a")
        stream = await context.create_new_resumable_stream(ID, source, on_end=raises)
        source.finish(LookupError())
        with pytest.raises(StreamFailedError):
            await rest(stream)
        other = await context.create_new_resumable_stream("2", Source(), on_end=raises)
        await context.aclose(0)
        with pytest.raises(ProducerLostError):
            await rest(other)
