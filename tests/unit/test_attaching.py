"""Every outcome of attaching to a stream that another instance produces."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from resumable_stream import (
    ContextClosedError,
    HandshakeTimeoutError,
    InvalidEventIdError,
    ProducerLostError,
)
from resumable_stream._protocol.places import EventId, Start
from resumable_stream._reading.attachment import Joined, Moved, Refused
from resumable_stream._reading.enrolment import Enrolments
from resumable_stream._reading.listener import Listener
from resumable_stream._reading.liveness import Liveness
from resumable_stream._reading.remote import RemoteReader
from support.virtual_time import in_virtual_time, loop_time
from support.world import ID, SENTINEL, begin, shared_on, world

if TYPE_CHECKING:
    from support.world import World

NOBODY = 77


def reader_of(here: World, generation: int, start: Start | None = None) -> RemoteReader:
    shared = shared_on(here.raw)
    liveness = Liveness(shared.options, loop_time())
    speak = partial(Listener, generation=generation, enrolments=Enrolments(shared))
    return RemoteReader(shared, ID, start or Start(), liveness, speak)


async def begun(reader: RemoteReader) -> asyncio.Task[Joined | Moved | Refused]:
    """Start attaching, and return before the reader's own task has taken its first step."""
    attaching = asyncio.create_task(reader.attach())
    await asyncio.sleep(0)
    return attaching


@pytest.mark.rule("LSN-1")
@in_virtual_time
async def test_a_producer_that_answers_is_joined() -> None:
    async with world() as here:
        _, _, generation = await begin(here, "a")
        reader = reader_of(here, generation)
        assert isinstance(await reader.attach(), Joined)
        assert await reader.next_run() == ["a"]
        await reader.aclose()


@pytest.mark.rule("LSN-1")
@pytest.mark.parametrize("value", [str(78 << 20), "1", None])
@in_virtual_time
async def test_a_sentinel_that_says_something_else_has_moved_the_stream(value: str | None) -> None:
    async with world() as here:
        await here.raw.set(SENTINEL, str(NOBODY << 20), ttl=1000)
        attaching = await begun(reader_of(here, NOBODY))
        await asyncio.sleep(0.5)
        assert not attaching.done()
        if value is None:
            await here.raw.delete(SENTINEL)
        else:
            await here.raw.set(SENTINEL, value, ttl=1000)
        assert isinstance(await attaching, Moved)


@pytest.mark.rule("LSN-1", "P4")
@in_virtual_time
async def test_a_silence_beyond_the_time_out_is_a_refusal() -> None:
    async with world() as here:
        await here.raw.set(SENTINEL, str(NOBODY << 20), ttl=1000)
        attachment = await reader_of(here, NOBODY).attach()
        assert isinstance(attachment, Refused)
        assert isinstance(attachment.error, HandshakeTimeoutError)


@pytest.mark.rule("REQ-5")
@in_virtual_time
async def test_a_refusal_says_why() -> None:
    async with world() as here:
        _, _, generation = await begin(here, "a")
        start = Start(event_id=EventId(generation, 9))
        attachment = await reader_of(here, generation, start).attach()
        assert isinstance(attachment, Refused)
        assert isinstance(attachment.error, InvalidEventIdError)


@pytest.mark.rule("P4", "P10")
@in_virtual_time
async def test_a_task_that_never_began_is_a_refusal() -> None:
    async with world() as here:
        reader = reader_of(here, NOBODY)
        attaching = await begun(reader)
        assert reader.task._task is not None
        reader.task._task.cancel()
        attachment = await attaching
        assert isinstance(attachment, Refused)
        assert isinstance(attachment.error, ContextClosedError)


@pytest.mark.rule("END-1")
@pytest.mark.parametrize("text", [[], ["a"]], ids=["before any text", "after some text"])
@in_virtual_time
async def test_an_error_right_after_the_answer_is_a_refusal_if_there_is_nothing_to_read(
    text: list[str],
) -> None:
    async with world() as here:
        reader, error = reader_of(here, NOBODY), ProducerLostError(ID, 0)
        attaching = await begun(reader)
        reader.join()
        reader.deliver(text)
        reader.end(error)
        match await attaching:
            case Joined():
                assert text
            case Refused(refusal):
                assert not text
                assert refusal is error
            case Moved():
                pytest.fail("it has moved")
        assert [await reader.next_run() for _ in text] == [[chunk] for chunk in text]
        with pytest.raises(ProducerLostError):
            await reader.next_run()
        await reader.aclose()
