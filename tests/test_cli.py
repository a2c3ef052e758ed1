"""The commands: called in this process on memory://, or run as a program where one is enough."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import TYPE_CHECKING

import pytest

from resumable_stream import (
    Options,
    StreamCancelledError,
    StreamExistsError,
    StreamFailedError,
    create_resumable_stream_context,
)
from resumable_stream._cli import stdio
from resumable_stream._cli.commands import cancel, follow, produce, status
from resumable_stream._cli.console import ExitStatus
from resumable_stream._cli.stdio import Input, Output
from support.programs import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from resumable_stream import ResumableStream, ResumableStreamContext


class Pipe:
    """A pipe; ``close`` closes the ends that are still open."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self._open = {self.reading, self.writing}

    def close(self, *ends: int) -> None:
        for end in self._open & set(ends or self._open):
            self._open.remove(end)
            os.close(end)

    def read_all(self) -> bytes:
        self.close(self.writing)
        found = b""
        while piece := os.read(self.reading, 65536):
            found += piece
        return found


@pytest.fixture
def typed() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture
def shown() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4()}"


@pytest.fixture
async def here(url: str) -> AsyncIterator[ResumableStreamContext]:
    async with create_resumable_stream_context(url, options=Options(drain_timeout=0)) as context:
        yield context


@pytest.fixture
async def elsewhere(url: str) -> AsyncIterator[ResumableStreamContext]:
    async with create_resumable_stream_context(url, options=Options(drain_timeout=0)) as context:
        yield context


async def join(context: ResumableStreamContext, stream_id: str) -> ResumableStream:
    """Join a stream as soon as it exists."""
    for _ in range(1_000):
        stream = await context.resume_existing_stream(stream_id)
        if stream:
            return stream
        await asyncio.sleep(0.01)
    raise AssertionError(f"stream {stream_id!r} was never started")


async def one_two() -> AsyncIterator[str]:
    yield "one "
    yield "two \N{ROCKET}"


class Waiting:
    """A source that yields its text and then waits to be released."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.release = asyncio.Event()

    async def stream(self) -> AsyncIterator[str]:
        yield self.text
        await self.release.wait()


async def test_produced_text_is_followed(
    here: ResumableStreamContext, elsewhere: ResumableStreamContext, typed: Pipe, shown: Pipe
) -> None:
    producing = asyncio.create_task(produce(here, "log", Input(typed.reading)))
    reader = await join(elsewhere, "log")
    text = "first line\nsecond \N{ROCKET}\n".encode()
    for byte in text:
        os.write(typed.writing, bytes([byte]))
    following = asyncio.create_task(follow(elsewhere, "log", 6, Output(shown.writing, 6)))
    while reader.offset < 10:
        await anext(reader)
    typed.close(typed.writing)
    assert await following is ExitStatus.COMPLETED
    assert await producing is ExitStatus.COMPLETED
    assert shown.read_all() == text[6:]


async def test_input_splits_no_character(typed: Pipe) -> None:
    text = Input(typed.reading).text()
    for byte in "\N{ROCKET}".encode():
        os.write(typed.writing, bytes([byte]))
    typed.close(typed.writing)
    assert [piece async for piece in text] == ["\N{ROCKET}"]


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"ok\xff", "at byte 2"), (b"cut \xf0\x9f", "at byte 4: unexpected end of data")],
)
async def test_bad_input_fails_the_stream(
    here: ResumableStreamContext,
    elsewhere: ResumableStreamContext,
    typed: Pipe,
    data: bytes,
    words: str,
) -> None:
    os.write(typed.writing, data)
    typed.close(typed.writing)
    with pytest.raises(StreamFailedError, match=words):
        await produce(here, "bad", Input(typed.reading))
    await here.aclose(drain_timeout=PATIENCE)
    assert await status(elsewhere, "bad") is ExitStatus.FAILED


async def test_bad_byte_is_counted_across_reads(typed: Pipe) -> None:
    text = Input(typed.reading).text()
    os.write(typed.writing, b"abc\xf0\x9f")
    assert await anext(text) == "abc"
    os.write(typed.writing, b"x")
    with pytest.raises(ValueError, match="at byte 3"):
        await anext(text)


async def test_bad_input_can_be_replaced(typed: Pipe) -> None:
    os.write(typed.writing, b"ok\xff")
    typed.close(typed.writing)
    assert [piece async for piece in Input(typed.reading, errors="replace").text()] == ["ok\ufffd"]


async def test_tee_outlives_its_reader(typed: Pipe, shown: Pipe) -> None:
    text = Input(typed.reading, tee=shown.writing).text()
    os.write(typed.writing, b"one")
    assert await anext(text) == "one"
    assert os.read(shown.reading, 100) == b"one"
    shown.close(shown.reading)
    os.write(typed.writing, b"two")
    assert await anext(text) == "two"
    typed.close(typed.writing)
    assert [piece async for piece in text] == []


async def test_non_blocking_input_is_waited_for(typed: Pipe) -> None:
    os.set_blocking(typed.reading, False)
    text = Input(typed.reading).text()
    reading = asyncio.ensure_future(anext(text))
    await asyncio.sleep(0)
    os.write(typed.writing, b"late")
    assert await reading == "late"
    typed.close(typed.writing)
    assert [piece async for piece in text] == []


async def test_cancelled_produce_cancels_its_stream(
    here: ResumableStreamContext, elsewhere: ResumableStreamContext, typed: Pipe
) -> None:
    producing = asyncio.create_task(produce(here, "stopped", Input(typed.reading)))
    reader = await join(elsewhere, "stopped")
    os.write(typed.writing, b"some")
    assert await anext(reader) == "some"
    producing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await producing
    with pytest.raises(StreamCancelledError):
        await anext(reader)
    assert await status(elsewhere, "stopped") is ExitStatus.CANCELLED


async def test_produce_ends_when_cancelled_elsewhere(
    here: ResumableStreamContext,
    elsewhere: ResumableStreamContext,
    typed: Pipe,
    capsys: pytest.CaptureFixture[str],
) -> None:
    producing = asyncio.create_task(produce(here, "stopped", Input(typed.reading)))
    await join(elsewhere, "stopped")
    assert await cancel(elsewhere, "stopped") is ExitStatus.COMPLETED
    with pytest.raises(StreamCancelledError):
        await producing
    assert capsys.readouterr().out == "cancelled\n"


async def test_cancel_after_the_end_is_no_error(
    here: ResumableStreamContext,
    elsewhere: ResumableStreamContext,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await here.create_new_resumable_stream("over", one_two)
    await here.aclose(drain_timeout=PATIENCE)
    assert await cancel(elsewhere, "over") is ExitStatus.COMPLETED
    assert capsys.readouterr().out == "already_over\n"


async def test_taken_id_is_refused(here: ResumableStreamContext, typed: Pipe) -> None:
    source = Waiting("mine")
    async with await here.create_new_resumable_stream("taken", source.stream):
        with pytest.raises(StreamExistsError):
            await produce(here, "taken", Input(typed.reading))
        assert await status(here, "taken") is ExitStatus.COMPLETED


async def test_interrupted_follow_names_the_offset(
    here: ResumableStreamContext, shown: Pipe, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Waiting("rocket \N{ROCKET}")
    async with await here.create_new_resumable_stream("long", source.stream):
        following = asyncio.create_task(follow(here, "long", 0, Output(shown.writing, mark=0)))
        assert await asyncio.to_thread(os.read, shown.reading, 100) == source.text.encode()
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
    assert capsys.readouterr().err == "resumable-stream: to continue: --offset 9\n"


async def test_unread_output_does_not_count(shown: Pipe) -> None:
    output = Output(shown.writing, mark=5)
    writing = asyncio.create_task(output.write(["\N{ROCKET}", "x" * 10_000_000, "y"]))
    assert await asyncio.to_thread(os.read, shown.reading, 4) == "\N{ROCKET}".encode()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert output.mark == 7
    shown.close(shown.reading)


async def test_cancelled_write_ends_with_its_present_chunk(
    shown: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdio, "_LAST_WRITE", PATIENCE)
    output = Output(shown.writing, mark=0)
    present = "x" * 200_000
    writing = asyncio.create_task(output.write([present, "y"]))
    assert await asyncio.to_thread(os.read, shown.reading, 1) == b"x"
    writing.cancel()
    rest = 1
    while rest < len(present):
        rest += len(await asyncio.to_thread(os.read, shown.reading, 1 << 16))
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert output.mark == len(present)
    shown.close(shown.writing)
    assert await asyncio.to_thread(os.read, shown.reading, 1) == b""


async def test_closed_output_ends_follow(here: ResumableStreamContext, shown: Pipe) -> None:
    shown.close(shown.reading)
    source = Waiting("text")
    async with await here.create_new_resumable_stream("unread", source.stream):
        with pytest.raises(BrokenPipeError):
            await follow(here, "unread", 0, Output(shown.writing, mark=0))


async def test_unknown_stream_is_not_found(
    here: ResumableStreamContext, shown: Pipe, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await follow(here, "unknown", 0, Output(shown.writing, 0)) is ExitStatus.NOT_FOUND
    assert await status(here, "unknown") is ExitStatus.NOT_FOUND
    assert await cancel(here, "unknown") is ExitStatus.NOT_FOUND
    assert capsys.readouterr().out == "not_found\n"


async def test_follow_waits_for_a_stream_that_begins_later(
    here: ResumableStreamContext, shown: Pipe
) -> None:
    async with Output(shown.writing, mark=0) as output:
        following = asyncio.create_task(follow(here, "later", 0, output, wait=20))
        await asyncio.sleep(0)
        async with await here.create_new_resumable_stream("later", one_two):
            assert await following is ExitStatus.COMPLETED
    assert shown.read_all().decode() == "one two \N{ROCKET}"


async def test_completed_stream_has_no_text_to_follow(
    here: ResumableStreamContext,
    elsewhere: ResumableStreamContext,
    shown: Pipe,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await here.create_new_resumable_stream("over", one_two)
    await here.aclose(drain_timeout=PATIENCE)
    assert await follow(elsewhere, "over", 0, Output(shown.writing, 0)) is ExitStatus.NOT_FOUND
    assert "completed earlier" in capsys.readouterr().err
    assert await status(elsewhere, "over") is ExitStatus.COMPLETED
    assert capsys.readouterr().out == "completed\n"
