"""Foreign and malformed messages end no reader, answer no cancel and stop no producer."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resumable_stream import (
    CancelResult,
    InvalidEventIdError,
    InvalidOffsetError,
    OffsetOutOfRangeError,
    ResumableStream,
    StreamCancelledError,
    StreamError,
)
from resumable_stream._protocol.names import live_id
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.wire import (
    EndFrame,
    Frame,
    Refusal,
    RefusalFrame,
    RequestType,
    decode_request,
    encode_frame,
)
from resumable_stream._text.endings import Ending, Status
from support.hostile import FRAMES, MESSAGES
from support.virtual_time import in_virtual_time, run_in_virtual_time
from support.world import ID, NAMES, SENTINEL, Peer, World, begin, rest, text_of, world

if TYPE_CHECKING:
    from collections.abc import Callable

FOREIGN = 77


async def join(here: World) -> tuple[ResumableStream, str]:
    """Read the stream on another instance; return the reader and its listener id."""
    context, broker = here.instance()
    stream = await context.resume_existing_stream(ID)
    assert isinstance(stream, ResumableStream)
    request = decode_request(broker.published[0][1])
    assert request is not None
    return stream, request.listener_id


async def send(here: World, channel_id: str, *frames: Frame) -> None:
    for frame in frames:
        await here.raw.publish(NAMES.chunk(channel_id), encode_frame(channel_id, frame))
    await asyncio.sleep(0.1)


@pytest.mark.rule("FRM-6")
@pytest.mark.parametrize("refusal", Refusal)
@in_virtual_time
async def test_what_another_generation_refuses_ends_no_reader(refusal: Refusal) -> None:
    async with world() as here:
        source, _, _ = await begin(here, "a")
        stream, listener = await join(here)
        await send(here, listener, RefusalFrame(FOREIGN, refusal, 5))
        source.put("b")
        source.finish()
        assert await rest(stream) == ["a", "b"]


@pytest.mark.rule("FRM-6", "REQ-5")
@pytest.mark.parametrize("refusal", Refusal)
@in_virtual_time
async def test_a_refusal_that_is_no_answer_ends_no_reader(refusal: Refusal) -> None:
    async with world() as here:
        source, _, generation = await begin(here, "a")
        stream, _ = await join(here)
        await send(here, live_id(ID, generation), RefusalFrame(generation, refusal, 5))
        source.put("b")
        source.finish()
        assert await rest(stream) == ["a", "b"]


@pytest.mark.rule("REQ-5")
@in_virtual_time
async def test_what_its_own_generation_refuses_ends_a_reader() -> None:
    async with world() as here:
        _, _, generation = await begin(here, "a")
        stream, listener = await join(here)
        await send(here, listener, RefusalFrame(generation, Refusal.TRIMMED, 5))
        with pytest.raises(OffsetOutOfRangeError):
            await rest(stream)


async def answer_cancels(here: World, answer: Callable[[int], list[Frame]]) -> None:
    """Answer the n-th cancel with the frames of ``answer(n)``."""
    count = 0

    def on_request(message: bytes) -> None:
        nonlocal count
        request = decode_request(message)
        if request is not None and request.type is RequestType.CANCEL:
            count += 1
            for frame in answer(count):
                told = encode_frame(request.listener_id, frame)
                here.raw._open_bus().publish(NAMES.chunk(request.listener_id), told)

    await here.raw.subscribe(NAMES.request(ID), on_request, lambda _loss: None)


@pytest.mark.rule("FRM-6", "REQ-7")
@in_virtual_time
async def test_no_other_generation_and_no_superseded_end_answers_a_cancel() -> None:
    async with world() as here:
        await here.raw.set(SENTINEL, str(5 << 20), ttl=600)
        wrong: list[Frame] = [
            EndFrame(FOREIGN, 3, Ending(Status.CANCELLED)),
            EndFrame(FOREIGN, 3, Ending(Status.COMPLETED)),
            EndFrame(5, 3, Ending(Status.SUPERSEDED)),
            RefusalFrame(5, Refusal.TRIMMED),
        ]
        await answer_cancels(here, lambda _count: wrong)
        context, _ = here.instance()
        assert await context.cancel_stream(ID) is CancelResult.NO_PRODUCER_ANSWERED


@pytest.mark.rule("REQ-7")
@in_virtual_time
async def test_a_cancel_is_answered_by_whom_the_sentinel_names_meanwhile() -> None:
    async with world() as here:
        await here.raw.set(SENTINEL, str(5 << 20), ttl=600)
        end = EndFrame(6, 3, Ending(Status.CANCELLED))
        await answer_cancels(here, lambda count: [end] if count > 1 else [])
        context, _ = here.instance()
        cancelling = asyncio.create_task(context.cancel_stream(ID))
        await asyncio.sleep(0.05)
        await here.raw.set(SENTINEL, str(6 << 20), ttl=600)
        assert await cancelling is CancelResult.CANCELLED


@pytest.mark.rule("REQ-7", "P9")
@in_virtual_time
async def test_a_cancel_reaches_its_producer_through_wrong_answers() -> None:
    async with world() as here:
        source, local, _ = await begin(here, "a")
        wrong = EndFrame(FOREIGN, 3, Ending(Status.COMPLETED))
        await answer_cancels(here, lambda _count: [wrong])
        context, _ = here.instance()
        assert await context.cancel_stream(ID) is CancelResult.CANCELLED
        assert source.closed
        with pytest.raises(StreamCancelledError):
            await rest(local)


@pytest.mark.rule("FRM-6")
@settings(max_examples=60)
@given(st.lists(FRAMES, max_size=8))
def test_frames_of_any_kind_leave_a_reader_its_text(rests: list[bytes]) -> None:
    async def read() -> None:
        async with world() as here:
            source, _, generation = await begin(here, "a")
            stream, listener = await join(here)
            for channel_id in (listener, live_id(ID, generation)):
                for message in rests:
                    framed = channel_id.encode() + b" " + message
                    await here.raw.publish(NAMES.chunk(channel_id), framed)
            await asyncio.sleep(0.1)
            source.put("b")
            source.finish()
            assert await rest(stream) == ["a", "b"]

    run_in_virtual_time(read())


@pytest.mark.rule("P4")
@settings(max_examples=100)
@given(st.lists(FRAMES, min_size=1, max_size=8))
def test_forged_frames_lead_to_documented_ends(rests: list[bytes]) -> None:
    async def read(raised: list[str]) -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: raised.append(str(context))
        )
        async with world() as here:
            source, _, generation = await begin(here, "a")
            stream, listener = await join(here)
            for channel_id in (listener, live_id(ID, generation)):
                for message in rests:
                    forged = message.replace(b"77", str(generation).encode())
                    framed = channel_id.encode() + b" " + forged
                    await here.raw.publish(NAMES.chunk(channel_id), framed)
            await asyncio.sleep(0.1)
            source.put("b")
            source.finish()
            with contextlib.suppress(StreamError, InvalidOffsetError, InvalidEventIdError):
                async with asyncio.timeout(600):
                    await rest(stream)

    raised: list[str] = []
    run_in_virtual_time(read(raised))
    assert not raised


@pytest.mark.rule("REQ-5", "P4")
@settings(max_examples=60)
@given(st.lists(MESSAGES, max_size=8))
def test_requests_of_any_kind_leave_other_listeners_served(messages: list[bytes]) -> None:
    async def ask() -> None:
        async with world() as here:
            source, _, generation = await begin(here, "a" * 10, "b")
            stream, _ = await join(here)
            peer = await Peer(here).listen(generation)
            for message in messages:
                if (request := decode_request(message)) and request.type is RequestType.CANCEL:
                    continue  # any peer may cancel a stream
                await here.raw.publish(NAMES.request(ID), message)
            await asyncio.sleep(0.1)
            peer.frames()  # raises if a frame cannot be decoded
            source.finish()
            assert await rest(stream) == ["a" * 10, "b"]

    run_in_virtual_time(ask())


@pytest.mark.rule("REQ-5")
@pytest.mark.parametrize("place", [Place(0, 11), Place(0, 2**53 - 1), Place(1, 2)])
@in_virtual_time
async def test_a_place_beyond_the_end_of_its_chunk_is_unknown(place: Place) -> None:
    async with world() as here:
        _, _, generation = await begin(here, "a" * 10, "b")
        peer = await Peer(here).listen()
        await peer.ask(window=100, place=place)
        assert peer.frames() == [RefusalFrame(generation, Refusal.UNKNOWN_PLACE)]


@pytest.mark.rule("REQ-3")
@in_virtual_time
async def test_a_place_at_the_end_of_its_chunk_is_served() -> None:
    async with world() as here:
        await begin(here, "a" * 10, "b")
        peer = await Peer(here).listen()
        await peer.ask(window=100, place=Place(0, 10))
        assert text_of(peer.frames()) == "b"
