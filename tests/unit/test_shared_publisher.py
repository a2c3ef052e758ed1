"""One publisher sends for all streams of an instance, and none of them holds up another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import AccessDeniedError, ResumableStream
from resumable_stream._protocol.names import live_id
from resumable_stream._protocol.sentinel import generation_of
from support.virtual_time import in_virtual_time, loop_time
from support.world import LEASE, NAMES, Broker, Source, World, world

if TYPE_CHECKING:
    from collections.abc import Sequence


def publishers() -> list[asyncio.Task[Any]]:
    return [t for t in asyncio.all_tasks() if t.get_name() == "resumable-stream publisher"]


async def produce(
    here: World, *stream_ids: str, **options: Any
) -> tuple[Broker, dict[str, Source]]:
    """Produce streams on one instance, each with a first chunk."""
    context, broker = here.instance(**options)
    sources = {stream_id: Source("begun ") for stream_id in stream_ids}
    for stream_id, source in sources.items():
        await context.create_new_resumable_stream(stream_id, source)
    await asyncio.sleep(0.1)
    return broker, sources


async def follow(here: World, *stream_ids: str) -> dict[str, ResumableStream]:
    """Read streams on another instance, each up to its first chunk."""
    context, _ = here.instance()
    streams = {}
    for stream_id in stream_ids:
        stream = await context.resume_existing_stream(stream_id)
        assert isinstance(stream, ResumableStream)
        assert await anext(stream) == "begun "
        streams[stream_id] = stream
    return streams


async def live_channel(here: World, stream_id: str) -> str:
    generation = generation_of(await here.raw.get(NAMES.sentinel(stream_id)) or "")
    return NAMES.chunk(live_id(stream_id, generation))


@pytest.mark.rule("P8", "P10")
@in_virtual_time
async def test_many_streams_have_one_task_and_none_while_nobody_listens() -> None:
    ids = [f"stream-{number}" for number in range(20)]
    async with world() as here:
        _, sources = await produce(here, *ids)
        assert publishers() == []
        streams = await follow(here, *ids)
        assert len(publishers()) == 1
        for source in sources.values():
            source.put("more")
        assert [await anext(stream) for stream in streams.values()] == ["more"] * 20
        assert len(publishers()) == 1
        for stream in streams.values():
            await stream.aclose()
        await asyncio.sleep(0.1)
        assert publishers() == []


@pytest.mark.rule("P8")
@in_virtual_time
async def test_what_many_streams_have_at_a_time_is_one_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = [f"stream-{number}" for number in range(50)]
    async with world() as here:
        broker, sources = await produce(here, *ids)
        streams = await follow(here, *ids)
        sizes: list[int] = []
        publish_many = broker.publish_many

        async def counted(messages: Sequence[tuple[str, bytes]]) -> None:
            sizes.append(len(messages))
            await publish_many(messages)

        monkeypatch.setattr(broker, "publish_many", counted)
        for source in sources.values():
            source.put("more")
        assert [await anext(stream) for stream in streams.values()] == ["more"] * 50
        assert sizes == [50]


@pytest.mark.rule("P6", "REQ-3")
@in_virtual_time
async def test_a_long_answer_holds_up_no_other_streams_live_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as here:
        broker, sources = await produce(here, "long", "live")
        sources["long"].put(*["x" * 10_000] * 2_000)
        streams = await follow(here, "live")
        publish_many = broker.publish_many
        batches: list[list[str]] = []

        async def slowly(messages: Sequence[tuple[str, bytes]]) -> None:
            batches.append([channel for channel, _ in messages])
            await asyncio.sleep(1)
            await publish_many(messages)

        monkeypatch.setattr(broker, "publish_many", slowly)
        channel = await live_channel(here, "live")
        reading = asyncio.create_task(read_all(here, "long", 2_001))
        await asyncio.sleep(2.5)  # no heartbeat is due yet
        assert batches
        assert not any(channel in batch for batch in batches)
        begun = len(batches)
        sources["live"].put("now")
        assert await anext(streams["live"]) == "now"
        assert channel in batches[begun]
        assert not reading.done()
        assert len(batches[begun]) > 1  # the long answer goes on in the same batch
        assert await reading == 2_001


async def read_all(here: World, stream_id: str, chunks: int) -> int:
    context, _ = here.instance()
    stream = await context.resume_existing_stream(stream_id)
    assert isinstance(stream, ResumableStream)
    for _ in range(chunks):
        await anext(stream)
    return chunks


@pytest.mark.rule("P6", "BE-2")
@in_virtual_time
async def test_a_stream_that_is_refused_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with world() as here:
        broker, sources = await produce(here, "denied", "fine")
        streams = await follow(here, "denied", "fine")
        channel, publish_many = await live_channel(here, "denied"), broker.publish_many
        denied, attempts = True, 0

        async def picky(messages: Sequence[tuple[str, bytes]]) -> None:
            nonlocal attempts
            if denied and channel in dict(messages):
                attempts += 1
                raise AccessDeniedError("the user lacks a right to the channel")
            await publish_many(messages)

        monkeypatch.setattr(broker, "publish_many", picky)
        chunks = [f"{number}" for number in range(50)]
        for chunk in chunks:
            for source in sources.values():
                source.put(chunk)
            await asyncio.sleep(0.05)
        async with asyncio.timeout(1):
            assert [await anext(streams["fine"]) for _ in chunks] == chunks
        assert 1 < attempts < 10
        warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
        assert [warning.split("'")[1] for warning in warnings] == ["denied", "fine"]
        denied = False
        async with asyncio.timeout(LEASE):
            assert [await anext(streams["denied"]) for _ in chunks] == chunks


@pytest.mark.rule("P6", "FRM-5")
@in_virtual_time
async def test_after_an_outage_every_stream_says_at_once_how_far_it_is() -> None:
    ids = [f"stream-{number}" for number in range(5)]
    async with world() as here:
        broker, sources = await produce(here, *ids, lease=60)
        streams = await follow(here, *ids)
        broker.away = True
        for source in sources.values():
            source.put("missed")
        await asyncio.sleep(2)
        broker.away = False
        began = loop_time()
        assert [await anext(stream) for stream in streams.values()] == ["missed"] * 5
        assert loop_time() - began < 1.2


@pytest.mark.rule("P1", "P4")
@pytest.mark.parametrize("ticks", range(6))
@in_virtual_time
async def test_a_publisher_that_a_host_cancels_begins_again(ticks: int) -> None:
    async with world() as here:
        _, sources = await produce(here, "a", "b", lease=60)
        streams = await follow(here, "a", "b")
        for source in sources.values():
            source.put("first")
        for _ in range(ticks):
            await asyncio.sleep(0)
        for task in publishers():
            task.cancel()
        for chunk in ("second", "third"):
            for source in sources.values():
                source.put(chunk)
            await asyncio.sleep(0.1)
        expected = ["first", "second", "third"]
        async with asyncio.timeout(1):  # long before a heartbeat
            for stream in streams.values():
                assert [await anext(stream) for _ in range(3)] == expected


@pytest.mark.rule("P4")
@in_virtual_time
async def test_a_fault_in_one_turn_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with world() as here:
        broker, sources = await produce(here, "a")
        streams = await follow(here, "a")
        publish_many = broker.publish_many

        async def broken(messages: Sequence[tuple[str, bytes]]) -> None:
            monkeypatch.setattr(broker, "publish_many", publish_many)
            raise ZeroDivisionError(len(messages))

        monkeypatch.setattr(broker, "publish_many", broken)
        sources["a"].put("missed")
        async with asyncio.timeout(LEASE):
            assert await anext(streams["a"]) == "missed"
        errors = [one.getMessage() for one in caplog.records if one.exc_info]
        assert errors == ["serving remote listeners failed"]


@pytest.mark.rule("REQ-2", "P10")
@in_virtual_time
async def test_the_dismissal_of_a_stream_leaves_the_others_served() -> None:
    async with world() as here:
        _, sources = await produce(here, "superseded", "fine")
        streams = await follow(here, "superseded", "fine")
        key = NAMES.sentinel("superseded")
        await here.raw.set(key, str(77 << 20), ttl=60)
        here.brokers[0].reconnect()
        await asyncio.sleep(1)
        sources["fine"].put("more")
        assert await anext(streams["fine"]) == "more"
        assert len(publishers()) == 1
