"""A remote reader that is cancelled in a wait and then left alone holds nothing, but its place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resumable_stream import ProducerLostError, ResumableStream
from resumable_stream._listener import Listener
from virtual_time import in_virtual_time, loop_time
from world import ID, LEASE, TypeScriptProducer, begin, rest, world

if TYPE_CHECKING:
    from world import Broker, World


async def waiting_reader(
    here: World, text: list[str], **options: float
) -> tuple[ResumableStream, Broker]:
    """A reader elsewhere that has got so far."""
    context, broker = here.instance(**options)
    stream = await context.resume_existing_stream(ID)
    assert isinstance(stream, ResumableStream)
    assert [await anext(stream) for _ in text] == text
    return stream, broker


async def wait_in_vain(stream: ResumableStream, seconds: float = 1) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(stream), seconds)


def listeners() -> int:
    return sum(" listener " in task.get_name() for task in asyncio.all_tasks())


@pytest.mark.rule("LSN-9", "P10")
@in_virtual_time
async def test_reader_left_alone_holds_nothing() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        stream, broker = await waiting_reader(here, ["a"])
        await wait_in_vain(stream)
        assert (len(broker._subscriptions), listeners()) == (2, 1)
        await asyncio.sleep(1.1)
        assert (len(broker._subscriptions), listeners()) == (0, 0)
        # And its producer knows: nothing is published to nobody.
        published = len(here.brokers[0].published)
        source.put("b")
        await asyncio.sleep(1)
        assert len(here.brokers[0].published) == published


@pytest.mark.rule("LSN-9", "P1")
@in_virtual_time
async def test_rested_reader_goes_on_where_it_was() -> None:
    async with world() as here:
        source, _, generation = await begin(here, "a")
        stream, _ = await waiting_reader(here, ["a"])
        for text in ("b", "\N{ROCKET}", ""):
            await wait_in_vain(stream)
            await asyncio.sleep(5 * LEASE)
            source.put(text, "more")
            await asyncio.sleep(1)
            woken = loop_time()
            assert [await anext(stream) for _ in range(2)] == [text, "more"]
            # It has asked at once, and not waited for a heartbeat to show what it has missed.
            assert loop_time() - woken < 0.5
        assert stream.last_event_id == f"{generation}-7"
        assert stream.offset == len("abmore") + 2 + 2 * len("more")
        source.put("end")
        source.finish()
        assert await rest(stream) == ["end"]


@pytest.mark.parametrize("tenths", range(8, 14))
@in_virtual_time
async def test_reading_again_just_then_is_safe(tenths: int) -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        stream, broker = await waiting_reader(here, ["a"])
        for number in range(5):
            await wait_in_vain(stream)
            await asyncio.sleep(tenths / 10)
            reading = asyncio.create_task(anext(stream))
            if number % 2:
                await asyncio.sleep(1)
            source.put(str(number))
            assert await reading == str(number)
        assert (len(broker._subscriptions), listeners()) == (2, 1)
        source.finish()


@in_virtual_time
async def test_reader_wakes_up_only_after_it_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    leave = Listener._leave

    async def leave_slowly(listener: Listener) -> None:
        await asyncio.sleep(1.5)
        await leave(listener)

    monkeypatch.setattr(Listener, "_leave", leave_slowly)
    async with world() as here:
        source, _, _ = await begin(here, "a")
        stream, _ = await waiting_reader(here, ["a"])
        await wait_in_vain(stream)
        await asyncio.sleep(1.2)
        reading = asyncio.create_task(anext(stream))
        await asyncio.sleep(2)
        for text in ("b", "c"):
            source.put(text)
            # Its goodbye was not heard after its greeting.
            assert await asyncio.wait_for(reading, 0.5) == text
            reading = asyncio.create_task(anext(stream))
        source.finish()
        await asyncio.wait({reading})


@in_virtual_time
async def test_reader_that_fills_silence_does_not_rest() -> None:
    async with world() as here:
        await begin(here, "a")
        stream, broker = await waiting_reader(here, ["a"])
        (before,) = {frozenset(broker._subscriptions)}
        for _ in range(100):
            await wait_in_vain(stream, 0.7)
        assert frozenset(broker._subscriptions) == before


@in_virtual_time
async def test_reader_beside_a_cancelled_one_does_not_rest() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        stream, broker = await waiting_reader(here, ["a"])
        reading = asyncio.create_task(anext(stream))
        await wait_in_vain(stream)
        await asyncio.sleep(3)
        assert broker._subscriptions
        source.put("b")
        assert await reading == "b"


@in_virtual_time
async def test_rested_reader_learns_the_end() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        stream, _ = await waiting_reader(here, ["a"])
        await wait_in_vain(stream)
        await asyncio.sleep(5)
        source.finish()
        await asyncio.sleep(5)
        assert await rest(stream) == []


@in_virtual_time
async def test_rested_reader_that_comes_too_late_is_told() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        stream, _ = await waiting_reader(here, ["a"])
        await wait_in_vain(stream)
        await asyncio.sleep(5)
        source.put("b")
        source.finish()
        await asyncio.sleep(5)
        with pytest.raises(ProducerLostError):
            await rest(stream)


@in_virtual_time
async def test_rested_reader_bears_an_outage() -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        stream, broker = await waiting_reader(here, ["a"])
        await wait_in_vain(stream)
        await asyncio.sleep(5)
        broker.away = True
        reading = asyncio.create_task(anext(stream))
        await asyncio.sleep(LEASE)
        broker.away = False
        source.put("b")
        assert await reading == "b"


@in_virtual_time
async def test_rested_reader_is_closed_and_dropped() -> None:
    async with world() as here:
        await begin(here, "a")
        for leave in (True, False):
            stream, _ = await waiting_reader(here, ["a"])
            await wait_in_vain(stream)
            await asyncio.sleep(5)
            if leave:
                await stream.aclose()
                assert await rest(stream) == []
            del stream


@in_virtual_time
async def test_reader_of_a_typescript_stream_rests_too() -> None:
    async with world() as here:
        producer = TypeScriptProducer(here)
        await producer.start()
        await producer.send("a")
        stream, broker = await waiting_reader(here, ["a"])
        await wait_in_vain(stream)
        await asyncio.sleep(5)
        assert not broker._subscriptions
        await producer.send("b")
        assert await anext(stream) == "b"
        await producer.send("c")
        await producer.finish()
        assert await rest(stream) == ["c"]
