"""A TypeScript process produces, Python resumes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import redis

from resumable_stream import (
    CancelResult,
    HandshakeTimeoutError,
    InvalidOffsetError,
    ProducerLostError,
    ResumableStream,
    StreamExistsError,
    StreamState,
)
from resumable_stream._protocol.wire import V1_END
from support.servers import wait_until
from typescript.source import Source, from_offset, read, rest, utf16

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream import ResumableStreamContext
    from typescript.peer import Peer

pytestmark = pytest.mark.rule("P11")

SO_FAR = ["Hello ", "😀😀", "", "wörld", " 🏳️‍🌈", "\ufffd!"]
TO_COME = ["", "more ", "🤖", " and an end\n\n"]


async def resume(
    streams: ResumableStreamContext, stream_id: str, offset: int | None = None
) -> ResumableStream:
    stream = await streams.resume_existing_stream(stream_id, offset)
    assert isinstance(stream, ResumableStream)
    return stream


def block_until_over(redis_url: str, stream_id: str) -> None:
    """Stop this process's event loop until the producer has recorded its end."""
    with redis.Redis.from_url(redis_url) as client:
        key = f"resumable-stream:rs:sentinel:{stream_id}"
        wait_until(lambda: client.get(key) == b"DONE", "the producer to end")


async def test_every_utf16_offset_resumes(
    typescript: Peer, streams: ResumableStreamContext, stream_id: str
) -> None:
    await typescript.create(stream_id, *SO_FAR)
    so_far, whole = "".join(SO_FAR), "".join(SO_FAR + TO_COME)
    offsets = range(utf16(so_far) + 1)
    results = await asyncio.gather(
        *(resume(streams, stream_id, offset) for offset in offsets), return_exceptions=True
    )
    cut = 0
    readers: dict[int, ResumableStream] = {}
    for offset, result in zip(offsets, results, strict=True):
        if isinstance(result, InvalidOffsetError):
            cut += 1
            with pytest.raises(UnicodeDecodeError):
                whole.encode("utf-16-le")[2 * offset :].decode("utf-16-le")
        else:
            assert isinstance(result, ResumableStream), result
            readers[offset] = result
    await typescript.feed(stream_id, *TO_COME)
    await typescript.close(stream_id)

    assert cut == sum(ord(character) > 0xFFFF for character in so_far)
    for offset, reader in readers.items():
        assert await rest(reader) == from_offset(whole, offset)
        assert reader.offset == utf16(whole)
        assert reader.last_event_id is None


async def test_every_code_point_offset_resumes(
    typescript: Peer, open_context: Callable[..., ResumableStreamContext], stream_id: str
) -> None:
    streams = open_context(offset_unit="code-points")
    await typescript.create(stream_id, *SO_FAR)
    so_far, whole = "".join(SO_FAR), "".join(SO_FAR + TO_COME)
    readers = await asyncio.gather(
        *(resume(streams, stream_id, offset) for offset in range(len(so_far) + 1))
    )
    await typescript.feed(stream_id, *TO_COME)
    await typescript.close(stream_id)

    for offset, reader in enumerate(readers):
        assert await rest(reader) == whole[offset:]
        assert reader.offset == len(whole)


async def test_offset_to_come_waits(
    typescript: Peer, streams: ResumableStreamContext, stream_id: str
) -> None:
    await typescript.create(stream_id, "short")
    reader = await resume(streams, stream_id, 12)
    await typescript.feed(stream_id, " and ", "long enough")
    await typescript.close(stream_id)
    assert await rest(reader) == "short and long enough"[12:]


async def test_live_chunks_keep_boundaries(
    typescript: Peer, streams: ResumableStreamContext, stream_id: str
) -> None:
    await typescript.create(stream_id, "", "a", "")
    reader = await resume(streams, stream_id)
    assert await anext(reader) == "a"
    await typescript.feed(stream_id, "", "b", "", "", "cd")
    await typescript.close(stream_id)
    assert [chunk async for chunk in reader] == ["", "b", "", "", "cd"]


async def test_silent_beginning_is_no_end(
    typescript: Peer, streams: ResumableStreamContext, stream_id: str
) -> None:
    await typescript.create(stream_id)
    reader = await resume(streams, stream_id)
    await typescript.feed(stream_id, "at last")
    await typescript.close(stream_id)
    assert await rest(reader) == "at last"


async def test_completed_stream_is_over(
    typescript: Peer, streams: ResumableStreamContext, stream_id: str
) -> None:
    assert await streams.has_existing_stream(stream_id) is None
    produced = await typescript.start(stream_id, "all of it", close=True)
    assert await produced.rest() == "all of it"

    source = Source("another")
    await typescript.finds_over(stream_id)
    assert await streams.has_existing_stream(stream_id) == "DONE"
    assert await streams.resume_existing_stream(stream_id, 3) is None
    assert await streams.resumable_stream(stream_id, source) is None
    with pytest.raises(StreamExistsError):
        await streams.create_new_resumable_stream(stream_id, source)
    assert (await streams.stream_status(stream_id)).state is StreamState.COMPLETED
    assert await streams.cancel_stream(stream_id) is CancelResult.ALREADY_OVER
    assert source.calls == 0


async def test_running_stream_is_joined(
    typescript: Peer, streams: ResumableStreamContext, stream_id: str
) -> None:
    produced = await typescript.start(stream_id, "one ")
    source = Source("another")
    joined = await streams.resumable_stream(stream_id, source, 2)
    with pytest.raises(StreamExistsError):
        await streams.create_new_resumable_stream(stream_id, source)
    await typescript.feed(stream_id, "two")
    await typescript.close(stream_id)
    assert joined is not None
    assert await rest(joined) == "e two"
    assert await produced.rest() == "one two"
    assert source.calls == 0


async def test_cancel_leaves_stream_alone(
    typescript: Peer, streams: ResumableStreamContext, stream_id: str
) -> None:
    produced = await typescript.create(stream_id, "one ")
    reader = await resume(streams, stream_id)
    status = await streams.stream_status(stream_id)
    assert (status.state, status.generation) == (StreamState.ACTIVE, None)
    assert await streams.has_existing_stream(stream_id) is True
    assert await streams.cancel_stream(stream_id) is CancelResult.NO_PRODUCER_ANSWERED
    await typescript.feed(stream_id, "two")
    await typescript.close(stream_id)
    assert await rest(reader) == await produced.rest() == "one two"


@pytest.mark.parametrize(
    "chunks",
    [
        ["before ", f"part {V1_END} of a chunk", " after"],
        ["before ", V1_END, " after"],
        ["before ", V1_END, V1_END, ""],
        [V1_END],
    ],
    ids=["part", "whole", "last", "only"],
)
async def test_end_marker_is_text(
    typescript: Peer, streams: ResumableStreamContext, stream_id: str, chunks: list[str]
) -> None:
    text = "".join(chunks)
    await typescript.create(stream_id)
    live = [await resume(streams, stream_id) for _ in range(5)]
    await typescript.feed(stream_id, *chunks)
    assert [await read(reader, len(text)) for reader in live] == [text] * 5
    replayed = [await resume(streams, stream_id) for _ in range(5)]
    await typescript.feed(stream_id, "on")
    await typescript.close(stream_id)
    assert await asyncio.gather(*map(rest, live)) == ["on"] * 5
    assert await asyncio.gather(*map(rest, replayed)) == [f"{text}on"] * 5


@pytest.mark.rule("V1-4")
@pytest.mark.parametrize("before", [[], ["before "]], ids=["first", "later"])
@pytest.mark.parametrize("after", [[], [""], [" after"], [V1_END, ""]])
async def test_end_marker_at_end_is_text(
    typescript: Peer,
    streams: ResumableStreamContext,
    stream_id: str,
    redis_url: str,
    before: list[str],
    after: list[str],
) -> None:
    """The stream is over by the time that its readers look at the text."""
    await typescript.create(stream_id, *before)
    readers = [await resume(streams, stream_id) for _ in range(5)]
    await typescript.feed(stream_id, V1_END, *after, close=True)
    block_until_over(redis_url, stream_id)
    expected = "".join([*before, V1_END, *after])
    assert await asyncio.gather(*map(rest, readers)) == [expected] * 5


@pytest.mark.rule("V1-4")
async def test_replayed_end_marker_is_text(
    typescript: Peer, streams: ResumableStreamContext, stream_id: str, redis_url: str
) -> None:
    await typescript.create(stream_id, V1_END)
    with redis.Redis.from_url(redis_url) as client, client.pubsub() as requests:
        requests.subscribe(f"resumable-stream:rs:request:{stream_id}")
        assert requests.get_message(timeout=10) is not None
        resuming = [asyncio.create_task(resume(streams, stream_id)) for _ in range(5)]
        for _ in resuming:
            while requests.get_message() is None:  # noqa: ASYNC110 - the broker has no event
                await asyncio.sleep(0)
    await typescript.close(stream_id)
    block_until_over(redis_url, stream_id)
    for reader in await asyncio.gather(*resuming):
        assert await rest(reader) == V1_END


async def test_megabytes_are_replayed(
    typescript: Peer, streams: ResumableStreamContext, stream_id: str
) -> None:
    chunks = [f"{number:07} {'😀ä' * 1000}\n" for number in range(1000)]
    text = "".join(chunks)
    await typescript.create(stream_id, *chunks)
    middle = utf16(text[: len(text) // 2])
    readers = [await resume(streams, stream_id, offset) for offset in (None, middle, utf16(text))]
    await typescript.feed(stream_id, "the end")
    await typescript.close(stream_id)
    expected = [text, text[len(text) // 2 :], ""]
    for reader, part in zip(readers, expected, strict=True):
        assert await rest(reader) == part + "the end"


async def test_fast_producer_loses_nothing(
    typescript: Peer, open_context: Callable[..., ResumableStreamContext], stream_id: str
) -> None:
    """A reader whose window overflows asks again, from the place that it has reached."""
    streams = open_context(window=4096)
    await typescript.create(stream_id)
    reader = await resume(streams, stream_id)
    chunks = [f"{number} {'äöü😀' * 20};" for number in range(2000)]
    await typescript.feed(stream_id, *chunks)
    text = "".join(chunks)
    assert await read(reader, len(text)) == text
    await typescript.close(stream_id)
    assert await rest(reader) == ""


async def test_killed_producer_is_lost(
    typescript: Peer, open_context: Callable[..., ResumableStreamContext], stream_id: str
) -> None:
    streams = open_context(lease=2, handshake_timeout=2)
    await typescript.create(stream_id, "so far 😀")
    reader = await resume(streams, stream_id, 2)
    assert await read(reader, 6) == " far 😀"
    await typescript.kill()
    async with asyncio.timeout(15):
        with pytest.raises(ProducerLostError) as lost:
            await anext(reader)
    assert lost.value.offset == utf16("so far 😀")

    # The package's sentinel stays for a day, so a late start asks the dead producer in vain.
    async with asyncio.timeout(15):
        with pytest.raises(HandshakeTimeoutError):
            await streams.resumable_stream(stream_id, Source("anew"))


async def test_failing_source_is_lost(
    typescript: Peer, open_context: Callable[..., ResumableStreamContext], stream_id: str
) -> None:
    """The package does not catch errors of its source, so the process ends."""
    streams = open_context(lease=2)
    await typescript.create(stream_id, "so far")
    reader = await resume(streams, stream_id)
    assert await read(reader, 6) == "so far"
    await typescript.fail(stream_id)
    assert await typescript.gone() != 0
    async with asyncio.timeout(15):
        with pytest.raises(ProducerLostError):
            await anext(reader)


async def test_silent_producer_is_not_lost(
    typescript: Peer, open_context: Callable[..., ResumableStreamContext], stream_id: str
) -> None:
    streams = open_context(lease=1)
    await typescript.create(stream_id, "thinking")
    reader = await resume(streams, stream_id)
    assert await read(reader, 8) == "thinking"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(4):
            await anext(reader)
    await typescript.feed(stream_id, " done")
    await typescript.close(stream_id)
    assert await rest(reader) == " done"
