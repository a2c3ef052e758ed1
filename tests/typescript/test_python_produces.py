"""Python produces, a TypeScript process resumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

from resumable_stream import (
    CancelResult,
    ResumableStream,
    StreamCancelledError,
    StreamFailedError,
    StreamState,
    StreamSupersededError,
)
from resumable_stream._protocol.wire import V1_END
from support.servers import eventually
from typescript.source import Source, from_offset, read, rest, utf16

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream import ResumableStreamContext
    from typescript.peer import Peer

pytestmark = pytest.mark.rule("P11")

SO_FAR = ["Hello ", "😀😀", "", "wörld", " 🏳️‍🌈", "\ufffd!"]
TO_COME = ["", "more ", "🤖", " and an end\n\n"]


async def produce(
    streams: ResumableStreamContext, stream_id: str, *chunks: str
) -> tuple[ResumableStream, Source]:
    """Start a stream and wait until its source has yielded the chunks."""
    source = Source(*chunks)
    stream = await streams.create_new_resumable_stream(stream_id, source)
    for chunk in chunks:
        assert await anext(stream) == chunk
    return stream, source


@pytest.mark.rule("V1-1", "V1-2")
@pytest.mark.parametrize("unit", ["utf-16", "code-points"])
async def test_every_offset_resumes(
    typescript: Peer,
    open_context: Callable[..., ResumableStreamContext],
    stream_id: str,
    unit: str,
) -> None:
    _, source = await produce(open_context(offset_unit=unit), stream_id, *SO_FAR)
    so_far, whole = "".join(SO_FAR), "".join(SO_FAR + TO_COME)
    readers = [
        await typescript.resume(stream_id, offset) for offset in range(utf16(so_far) + 1 + 3)
    ]
    source.feed(*TO_COME)
    source.end()
    for offset, reader in enumerate(readers):
        assert await reader.rest() == from_offset(whole, offset)


async def test_middle_of_running_text_resumes(
    typescript: Peer, streams: ResumableStreamContext, stream_id: str
) -> None:
    stream, source = await produce(streams, stream_id, "one ")
    first = await typescript.start(stream_id, "another")
    assert not first.produces
    assert await first.chunk() == "one "
    source.feed("two ")
    assert await first.chunk() == "two "
    await first.leave()
    second = await typescript.start(stream_id, "another", skip=8)
    assert await second.chunk() == ""
    source.feed("three")
    source.end()
    assert await second.rest() == "three"
    assert await rest(stream) == "two three"


@pytest.mark.rule("V1-1")
async def test_live_chunks_keep_boundaries(
    typescript: Peer, streams: ResumableStreamContext, stream_id: str
) -> None:
    _, source = await produce(streams, stream_id, "", "a", "", "b")
    reader = await typescript.resume(stream_id)
    assert await reader.chunk() == "ab"
    source.feed("", "c", "", "", "de")
    source.end()
    assert await reader.chunks(6) == ["", "c", "", "", "de", None]


@pytest.mark.rule("V1-1")
@pytest.mark.parametrize(
    "chunks",
    [
        ["before ", f"part {V1_END} of a chunk", " after"],
        ["before ", V1_END, " after"],
        [V1_END, V1_END, ""],
        [V1_END],
    ],
    ids=["part", "whole", "twice", "only"],
)
async def test_end_marker_is_text(
    typescript: Peer, streams: ResumableStreamContext, stream_id: str, chunks: list[str]
) -> None:
    text = "".join(chunks)
    _, source = await produce(streams, stream_id)
    live = await typescript.resume(stream_id)
    source.feed(*chunks)
    assert await live.text(len(text)) == text
    replayed = await typescript.resume(stream_id)
    assert await replayed.text(len(text)) == text
    cut = await typescript.resume(stream_id, 1)
    assert await cut.text(len(text) - 1) == text[1:]
    source.feed("on")
    source.end()
    assert [await reader.rest() for reader in (live, replayed, cut)] == ["on"] * 3


async def test_megabytes_are_replayed(
    typescript: Peer, streams: ResumableStreamContext, stream_id: str
) -> None:
    chunks = [f"{number:07} {'😀ä' * 1000}\n" for number in range(1000)]
    text = "".join(chunks)
    _, source = await produce(streams, stream_id, *chunks)
    middle = utf16(text[: len(text) // 2])
    readers = [await typescript.resume(stream_id, at) for at in (None, middle, utf16(text))]
    source.feed("the end")
    source.end()
    expected = [text, text[len(text) // 2 :], ""]
    for reader, part in zip(readers, expected, strict=True):
        assert await reader.rest() == part + "the end"


async def test_completed_stream_is_over(
    typescript: Peer, streams: ResumableStreamContext, stream_id: str
) -> None:
    assert await typescript.exists(stream_id) is None
    stream, source = await produce(streams, stream_id, "all of it")
    assert await typescript.exists(stream_id) is True
    source.end()
    assert await rest(stream) == ""
    await eventually_over(typescript, stream_id)


@pytest.mark.rule("V1-3")
@pytest.mark.parametrize("read_before", ["", "so far 😀"], ids=["first", "middle"])
async def test_failed_source_ends_reader(
    typescript: Peer, streams: ResumableStreamContext, stream_id: str, read_before: str
) -> None:
    chunks = [read_before] if read_before else []
    stream, source = await produce(streams, stream_id, *chunks)
    reader = await typescript.resume(stream_id)
    source.fail(RuntimeError("broke"))
    assert await reader.rest() == read_before
    with pytest.raises(StreamFailedError):
        await anext(stream)
    await eventually_over(typescript, stream_id)
    assert (await streams.stream_status(stream_id)).state is StreamState.FAILED


@pytest.mark.rule("V1-3")
async def test_cancelled_stream_ends_reader(
    typescript: Peer,
    streams: ResumableStreamContext,
    open_context: Callable[..., ResumableStreamContext],
    stream_id: str,
) -> None:
    stream, source = await produce(streams, stream_id, "so far")
    reader = await typescript.resume(stream_id)
    elsewhere = open_context()
    assert await elsewhere.cancel_stream(stream_id) is CancelResult.CANCELLED
    assert await reader.rest() == "so far"
    assert source.closed.is_set()
    with pytest.raises(StreamCancelledError):
        await anext(stream)
    await eventually_over(typescript, stream_id)


@pytest.mark.rule("V1-3")
async def test_closed_context_ends_reader(
    typescript: Peer, streams: ResumableStreamContext, stream_id: str
) -> None:
    await produce(streams, stream_id, "so far")
    reader = await typescript.resume(stream_id)
    await streams.aclose(0)
    assert await reader.rest() == "so far"
    await eventually_over(typescript, stream_id)


@pytest.mark.rule("SEN-5")
async def test_forced_creation_takes_over(
    typescript: Peer, open_context: Callable[..., ResumableStreamContext], stream_id: str
) -> None:
    """The package's create does not ask whether the id is taken: our producer is fenced."""
    stream, source = await produce(open_context(lease=1), stream_id, "one ")
    there = await typescript.create(stream_id, "another")
    with pytest.raises(StreamSupersededError):
        await anext(stream)
    assert source.closed.is_set()
    joined = await open_context().resume_existing_stream(stream_id)
    assert isinstance(joined, ResumableStream)
    await typescript.feed(stream_id, " text", close=True)
    assert await there.rest() == await rest(joined) == "another text"


async def test_readers_of_both_kinds_agree(
    typescript: Peer,
    streams: ResumableStreamContext,
    open_context: Callable[..., ResumableStreamContext],
    stream_id: str,
) -> None:
    stream, source = await produce(streams, stream_id, "one ")
    there = await typescript.resume(stream_id)
    elsewhere = await open_context().resume_existing_stream(stream_id)
    assert isinstance(elsewhere, ResumableStream)
    for number in range(200):
        source.feed(f"{number}😀")
    source.end()
    text = "one " + "".join(f"{number}😀" for number in range(200))
    assert await there.rest() == await rest(elsewhere) == "one " + await rest(stream) == text


@pytest.mark.rule("SEN-2", "SEN-3")
async def test_counting_calls_keeps_lease(
    typescript: Peer,
    open_context: Callable[..., ResumableStreamContext],
    redis_url: str,
    stream_id: str,
) -> None:
    """The package's start increments our sentinel; the producer still renews it and writes DONE."""
    stream, source = await produce(open_context(lease=1), stream_id, "one ")
    generation = (await open_context().stream_status(stream_id)).generation
    key = f"resumable-stream:rs:sentinel:{stream_id}"
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:

        def left() -> int:
            milliseconds = client.pttl(key)
            assert isinstance(milliseconds, int)
            assert milliseconds > 0, "the lease ran out"
            return milliseconds

        readers = []
        for _ in range(3):
            readers.append(await typescript.start(stream_id, "another"))
            before = left()
            await eventually(lambda at=before: left() < at, "the lease to run")  # type: ignore[misc]
            before = left()
            await eventually(lambda at=before: left() > at, "a renewal")  # type: ignore[misc]
        count = int(str(client.get(key)))
        assert count >> 20 == generation
        assert count % 2**20 == 3
        elsewhere = await open_context().resume_existing_stream(stream_id)
        assert isinstance(elsewhere, ResumableStream)
        assert await read(elsewhere, 4) == "one "
        source.feed("two")
        source.end()
        assert [await reader.rest() for reader in readers] == ["one two"] * 3
        assert await rest(elsewhere) == await rest(stream) == "two"
        await eventually(lambda: client.get(key) == "DONE", "the end to be recorded")


async def eventually_over(typescript: Peer, stream_id: str) -> None:
    """Check that the package finds the stream over: it neither joins it nor starts it again."""
    await typescript.finds_over(stream_id)
    assert (await typescript.resume(stream_id, 2)).outcome == "over"
    late = await typescript.start(stream_id, "another")
    assert (late.outcome, late.produces) == ("over", False)
