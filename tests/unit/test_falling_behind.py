"""A reader that the producer's buffer leaves behind goes on in the journal, and then live again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from resumable_stream import (
    BackendUnavailableError,
    OffsetOutOfRangeError,
    Options,
    ProducerLostError,
    StreamFailedError,
    create_resumable_stream_context,
)
from resumable_stream.sse import sse_response
from support.event_source import events_of
from support.journals import generation, journaled
from support.virtual_time import in_virtual_time
from support.world import ID, LEASE, Broker, Source, rest, world

LINES = [f"{number:0999}\n" for number in range(400)]
SMALL = 4000  # the buffer has room for few lines
WINDOW = 16 * 1024


async def put_all(source: Source, lines: list[str]) -> None:
    """Put the lines at a pace that the journal keeps up with."""
    for at in range(0, len(lines), 3):
        source.put(*lines[at : at + 3])
        await asyncio.sleep(1.5)


async def read_into(came: list[str], reader: Any) -> None:
    async for chunk in reader:
        came.append(chunk)  # noqa: PERF401 - what was read before an error is checked, too


@pytest.mark.rule("P1", "P2", "P7", "JNL-7")
@pytest.mark.parametrize("durability", ["async", "sync"])
@in_virtual_time
async def test_a_reader_goes_on_in_the_journal_and_comes_back(durability: str) -> None:
    async with world() as here:
        context, _, notebook = journaled(here, durability, buffer_limit=SMALL)
        there, _, elsewhere = journaled(here, None, window=WINDOW)
        source = Source(LINES[0])
        local: Any = await context.create_new_resumable_stream(ID, source)
        remote: Any = await there.resume_existing_stream(ID)
        run = await generation(here)
        for reader in (local, remote):
            assert await anext(reader) == LINES[0]
        await put_all(source, LINES[1:200])
        for reader in (local, remote):
            for number, line in enumerate(LINES[1:200], 1):
                assert (reader.offset, reader.last_event_id) == (1000 * number, f"{run}-{number}")
                assert await anext(reader) == line
        await put_all(source, LINES[200:])  # they fall behind once more
        for reader in (local, remote):
            assert [await anext(reader) for _ in range(200, 400)] == LINES[200:]
        waiting = [asyncio.create_task(anext(reader)) for reader in (local, remote)]
        await asyncio.sleep(1)
        calls = elsewhere.calls
        assert calls
        await asyncio.sleep(1)
        source.put("live")
        source.finish()
        assert [await one for one in waiting] == ["live", "live"]
        for reader in (local, remote):
            assert (reader.offset, reader.last_event_id) == (400_004, f"{run}-401")
            assert await rest(reader) == []
        assert elsewhere.calls == calls, "it has not come back to the producer"
        assert notebook.calls


@pytest.mark.rule("P3")
@in_virtual_time
async def test_a_reader_that_fell_behind_learns_how_the_stream_ends() -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async", buffer_limit=SMALL)
        there, _, _ = journaled(here, None, window=WINDOW)
        source = Source(LINES[0])
        local: Any = await context.create_new_resumable_stream(ID, source)
        remote: Any = await there.resume_existing_stream(ID)
        assert [await anext(local), await anext(remote)] == LINES[:1] * 2
        await put_all(source, LINES[1:100])
        source.finish(ValueError("no more"))
        await asyncio.sleep(200)
        for reader in (local, remote):
            assert [await anext(reader) for _ in range(1, 100)] == LINES[1:100]
            with pytest.raises(StreamFailedError, match="no more"):
                await anext(reader)


@pytest.mark.rule("P1")
@in_virtual_time
async def test_an_offset_that_is_still_to_come_is_found_in_the_journal() -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async", buffer_limit=SMALL)
        there, _, _ = journaled(here, None, window=WINDOW)
        source = Source(LINES[0])
        await context.create_new_resumable_stream(ID, source)
        readers: list[Any] = [
            await instance.resume_existing_stream(ID, 90_500) for instance in (context, there)
        ]
        await put_all(source, LINES[1:200])
        for reader in readers:
            assert (reader.offset, reader.last_event_id) == (90_500, None)
            assert await anext(reader) == LINES[90][500:]
            assert [await anext(reader) for _ in range(91, 200)] == LINES[91:200]
            assert reader.last_event_id == f"{await generation(here)}-200"


@pytest.mark.rule("P2", "P3", "JNL-7")
@pytest.mark.parametrize("over", [True, False], ids=["over", "running"])
@in_virtual_time
async def test_text_that_is_too_long_to_be_kept_is_out_of_range(*, over: bool) -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async", buffer_limit=SMALL, journal_limit=30_000)
        there, _, _ = journaled(here, None, window=WINDOW)
        source = Source(LINES[0])
        readers: list[Any] = [await context.create_new_resumable_stream(ID, source)]
        if not over:
            readers.append(await there.resume_existing_stream(ID))
        for reader in readers:
            assert await anext(reader) == LINES[0]
        await put_all(source, LINES[1:100])
        if over:
            source.finish()
            await asyncio.sleep(60)
        for reader in readers:
            came: list[str] = []
            with pytest.raises(OffsetOutOfRangeError) as caught:
                await read_into(came, reader)
            assert came == LINES[1 : 1 + len(came)]
            assert caught.value.offset == 1000 * (1 + len(came))


@pytest.mark.rule("P2", "P7", "JNL-7")
@in_virtual_time
async def test_without_a_journal_the_text_is_out_of_range() -> None:
    async with world() as here:
        context, _, notebook = journaled(here, None, buffer_limit=SMALL)
        there = create_resumable_stream_context(
            backend=Broker(here.bus), options=Options(lease=LEASE, window=WINDOW)
        )
        here.contexts.append(there)
        source = Source(LINES[0])
        readers: list[Any] = [
            await context.create_new_resumable_stream(ID, source),
            await there.resume_existing_stream(ID),
        ]
        for reader in readers:
            assert await anext(reader) == LINES[0]
        await put_all(source, LINES[1:100])
        for reader in readers:
            with pytest.raises(OffsetOutOfRangeError):
                await rest(reader)
        assert not notebook.calls


@pytest.mark.rule("P4")
@in_virtual_time
async def test_a_journal_that_is_away_is_waited_for() -> None:
    async with world() as here:
        context, _, notebook = journaled(here, "async", buffer_limit=SMALL)
        there, _, elsewhere = journaled(here, None, window=WINDOW)
        source = Source(LINES[0])
        local: Any = await context.create_new_resumable_stream(ID, source)
        remote: Any = await there.resume_existing_stream(ID)
        assert [await anext(local), await anext(remote)] == LINES[:1] * 2
        await put_all(source, LINES[1:100])
        source.finish()
        await asyncio.sleep(1)
        for reader, book in ((local, notebook), (remote, elsewhere)):
            book.away = True
            asyncio.get_running_loop().call_later(30, setattr, book, "away", False)
            assert await rest(reader) == LINES[1:100]


@pytest.mark.rule("P4")
@in_virtual_time
async def test_a_journal_that_stays_away_is_told_and_the_place_is_kept() -> None:
    async with world() as here:
        context, _, notebook = journaled(here, "async", buffer_limit=SMALL)
        source = Source(LINES[0])
        reader: Any = await context.create_new_resumable_stream(ID, source)
        assert await anext(reader) == LINES[0]
        await put_all(source, LINES[1:100])
        notebook.away = True
        place = reader.last_event_id
        with pytest.raises(BackendUnavailableError):
            await anext(reader)
        assert reader.last_event_id == place
        notebook.away = False
        source.finish()
        assert await rest(reader) == LINES[1:100]


@pytest.mark.rule("P1", "JNL-7")
@in_virtual_time
async def test_a_record_that_is_under_way_is_waited_for() -> None:
    async with world() as here:
        context, _, notebook = journaled(here, "async", buffer_limit=SMALL)
        source = Source(*LINES[:3])
        reader: Any = await context.create_new_resumable_stream(ID, source)
        await asyncio.sleep(2)
        assert notebook.appends

        async def slowly() -> None:
            await asyncio.sleep(2)

        notebook.meanwhile = slowly
        source.put(*LINES[3:6])
        await asyncio.sleep(1.1)
        source.put(*LINES[6:9])
        assert [await anext(reader) for _ in range(9)] == LINES[:9]


@pytest.mark.rule("P1", "JNL-7")
@in_virtual_time
async def test_a_reader_that_came_back_gets_what_its_dead_producer_left() -> None:
    async with world() as here:
        context, broker, notebook = journaled(here, "async", buffer_limit=SMALL)
        there, _, _ = journaled(here, None, window=WINDOW)
        source = Source(LINES[0])
        await context.create_new_resumable_stream(ID, source)
        reader: Any = await there.resume_existing_stream(ID)
        assert await anext(reader) == LINES[0]
        await put_all(source, LINES[1:100])
        assert [await anext(reader) for _ in range(1, 100)] == LINES[1:100]
        source.put("live")
        assert await anext(reader) == "live"
        broker.drop = lambda _channel, _message: True
        source.put("unheard")
        await asyncio.sleep(2)
        broker.away = notebook.away = True
        assert await anext(reader) == "unheard"
        with pytest.raises(ProducerLostError) as told:
            await anext(reader)
        assert told.value.offset == reader.offset == 100_011


@pytest.mark.rule("P1")
@pytest.mark.parametrize("is_local", [True, False])
@in_virtual_time
async def test_callers_that_read_together_get_each_chunk_once(is_local: bool) -> None:  # noqa: FBT001 - a parameter of the test
    async with world() as here:
        context, _, notebook = journaled(here, "async", buffer_limit=SMALL)
        there, _, elsewhere = journaled(here, None, window=WINDOW)
        source = Source(LINES[0])
        local: Any = await context.create_new_resumable_stream(ID, source)
        remote: Any = await there.resume_existing_stream(ID)
        reader, book = (local, notebook) if is_local else (remote, elsewhere)
        assert await anext(reader) == LINES[0]
        await put_all(source, LINES[1:100])
        read = book.read

        async def slowly(*arguments: Any, max_bytes: int) -> list[bytes]:
            await asyncio.sleep(0.01)
            return await read(*arguments, max_bytes=min(max_bytes, 20_000))

        late: Any = slowly
        book.read = late  # type: ignore[method-assign]
        came: list[str] = []

        async def take() -> None:
            while len(came) < 99:
                came.append(await anext(reader))

        takers = [asyncio.create_task(take()) for _ in range(3)]
        await asyncio.wait(takers, return_when=asyncio.FIRST_COMPLETED)
        for taker in takers:
            taker.cancel()
        assert came == LINES[1:100]


@pytest.mark.rule("P10")
@in_virtual_time
async def test_a_reader_that_left_while_the_journal_was_away_leaves_nothing() -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async", buffer_limit=SMALL)
        there, broker, elsewhere = journaled(here, None, window=WINDOW)
        source = Source(LINES[0])
        await context.create_new_resumable_stream(ID, source)
        reader: Any = await there.resume_existing_stream(ID)
        assert await anext(reader) == LINES[0]
        await put_all(source, LINES[1:100])
        elsewhere.away = True
        waiting = asyncio.create_task(rest(reader))
        await asyncio.sleep(1)
        assert not waiting.done()
        await reader.aclose()
        elsewhere.away = False
        left = await waiting
        assert left == LINES[1 : 1 + len(left)]
        assert len(left) < 99
        await asyncio.sleep(5)
        assert not broker._subscriptions


@pytest.mark.rule("P1")
@in_virtual_time
async def test_a_slow_page_gets_every_event() -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async", buffer_limit=SMALL)
        there, _, _ = journaled(here, None, window=WINDOW)
        source = Source(LINES[0])
        await context.create_new_resumable_stream(ID, source)
        bodies: list[bytes] = []
        scope: Any = {
            "type": "http",
            "method": "GET",
            "headers": [],
            "query_string": b"",
            "asgi": {"spec_version": "2.3"},
        }

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            bodies.append(message.get("body", b""))
            if LINES[0][:9].encode() in bodies[-1]:
                await put_all(source, LINES[1:100])
                source.finish()

        response = await sse_response(
            Request(scope), lambda place: there.resume_existing_stream(ID, last_event_id=place)
        )
        await response(scope, receive, send)
        assert [event.data for event in events_of(bodies)][:-1] == LINES[:100]


@pytest.mark.rule("P2")
@in_virtual_time
async def test_no_event_id_names_a_cut_chunk_that_was_not_taken_yet() -> None:
    async with world() as here:
        context, _, _ = journaled(here, "async", buffer_limit=SMALL)
        there, _, _ = journaled(here, None, window=WINDOW)
        source = Source(LINES[0], LINES[1])
        await context.create_new_resumable_stream(ID, source)
        readers: list[Any] = [
            await instance.resume_existing_stream(ID, 90_500) for instance in (context, there)
        ]
        await put_all(source, LINES[2:200])
        for reader in readers:
            await reader._reader.fetch()
            assert (reader.offset, reader.last_event_id) == (90_500, None)
            await anext(reader)
            assert (reader.offset, reader.last_event_id) == (91_000, f"{await generation(here)}-91")
