"""``on_end``: what an application learns at the end of a stream that it started."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from resumable_stream import (
    EndStatus,
    InvalidArgumentError,
    ProducerLostError,
    StreamEnd,
    StreamFailedError,
    create_resumable_stream_context,
)
from support.endings import Store, cancelled, completed, failed, lost
from support.virtual_time import in_virtual_time, loop_time
from support.world import ID, SENTINEL, Source, rest, world


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
    """A failure that is no ``Exception``."""


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
