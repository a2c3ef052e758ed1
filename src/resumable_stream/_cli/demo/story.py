"""The demo: stream a file, cut its reader, resume it on another instance, compare the texts."""

from __future__ import annotations

import asyncio
import math
import re
import uuid
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from resumable_stream import Options, create_resumable_stream_context
from resumable_stream._cli.console import ExitStatus, one_line
from resumable_stream._cli.demo.display import Live, Plain, Row, Scene, is_live
from resumable_stream._registry import without_secrets
from resumable_stream._text.offsets import OffsetUnit, length
from resumable_stream.errors import InvalidArgumentError, ProducerLostError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from typing import TextIO

    from resumable_stream import ResumableStream, ResumableStreamContext

_DEFAULT_FILE: Final = "ports.py"

_SECONDS_LIVE: Final = 6.0
_SECONDS_PLAIN: Final = 1.0

# A text of up to this length is streamed word by word, a longer one in this many equal pieces.
_WORDWISE_LENGTH: Final = 20_000
_PIECES: Final = 4_000
_TOKEN: Final = re.compile(r"\s{0,16}(?:\w{1,16}|[^\w\s])|\s{1,16}")

# At which part of the text reader 1 is cut and comes back, reader 2 starts, and the source waits
# for both.
_CUT: Final = 0.35
_BACK: Final = 0.6
_FOLLOW: Final = 0.72
_HOLD: Final = 0.8

# A context's default ``buffer_limit``: a longer text gets a larger buffer.
_USUAL_BUFFER: Final = 128 * 1024 * 1024


@dataclass(frozen=True)
class Material:
    name: str
    raw: bytes
    text: str

    @property
    def units(self) -> int:
        return length(self.text, OffsetUnit.UTF16)


def load(path: str | None, default: str = _DEFAULT_FILE) -> Material:
    """Read the file; without a path, the default one of this package.

    Raises:
        InvalidArgumentError: it cannot be read, is empty, or is not UTF-8.
    """
    source = files("resumable_stream") / default if path is None else Path(path)
    name = path or default
    try:
        raw = source.read_bytes()
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            f"{name!r} is not UTF-8 text: {error.reason} at byte {error.start}"
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidArgumentError(f"cannot read {name!r}: {reason}") from error
    if not text:
        raise InvalidArgumentError(f"{name!r} is empty: there is nothing to stream")
    return Material(source.name, raw, text)


def tokens(text: str) -> list[str]:
    """Cut the text into pieces as a language model might emit; joined, they are the text again."""
    if len(text) <= _WORDWISE_LENGTH:
        return _TOKEN.findall(text)
    size = math.ceil(len(text) / _PIECES)
    return [text[start : start + size] for start in range(0, len(text), size)]


async def demo(path: str | None, url: str, output: TextIO) -> ExitStatus:
    """Run the demo; the exit status says whether both readers got exactly the file."""
    material = load(path)
    chunks = tokens(material.text)
    scene = Scene(
        title=f"{one_line(material.name)}: {material.units:,} characters "
        f"in {len(chunks):,} chunks, over {one_line(without_secrets(url))}",
        total=material.units,
    )
    live = is_live(output)
    display = Live(output, scene) if live else Plain(output, scene)
    options = Options(buffer_limit=max(_USUAL_BUFFER, material.units))
    contexts = [create_resumable_stream_context(url, options=options) for _ in "ABC"]
    story = _Story(contexts, chunks, _SECONDS_LIVE if live else _SECONDS_PLAIN, scene)
    try:
        await _together(story.play(), display.show())
    finally:
        # After an interrupt nobody wants to wait for the rest of the text.
        await _together(*(context.aclose(drain_timeout=0) for context in contexts))
    first = display.verdict("reader 1 (A, then B)", material.raw, story.first)
    second = display.verdict("reader 2 (C)", material.raw, story.second)
    return ExitStatus.COMPLETED if first and second else ExitStatus.FAILED


@dataclass
class _Story:
    contexts: list[ResumableStreamContext]
    chunks: list[str]
    seconds: float
    scene: Scene
    first: list[str] = field(default_factory=list)
    second: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stream_id = f"demo-{uuid.uuid4()}"
        self.a, self.b, self.c = self.contexts
        self.producer = self.scene.row("A", "producer")
        self.row_a = self.scene.row("A", "reader 1")
        self.row_b = self.scene.row("B", "reader 1")
        self.row_c = self.scene.row("C", "reader 2")
        self.time_to_return = asyncio.Event()
        self.time_to_follow = asyncio.Event()
        self.returned = asyncio.Event()
        self.followed = asyncio.Event()

    async def play(self) -> None:
        try:
            await _together(self.read_cut_and_resume(), self.follow_from_the_start())
        finally:
            self.scene.over = True

    async def source(self) -> AsyncIterator[str]:
        self.producer.begin(0, "produces")
        clock = asyncio.get_running_loop().time
        started, waited, count = clock(), 0.0, len(self.chunks)
        for number, chunk in enumerate(self.chunks):
            due = started + waited + self.seconds * number / count
            await asyncio.sleep(max(0.0, due - clock()))
            if number >= int(_BACK * count):
                self.time_to_return.set()
            if number >= int(_FOLLOW * count):
                self.time_to_follow.set()
            if number == int(_HOLD * count):
                # On a slow machine, too, the readers come back before the text ends.
                before = clock()
                await self.returned.wait()
                await self.followed.wait()
                waited = clock() - before
            yield chunk
            self.producer.position += length(chunk, OffsetUnit.UTF16)
        self.producer.note = "done"

    async def read_cut_and_resume(self) -> None:
        stream = await self.a.create_new_resumable_stream(self.stream_id, self.source)
        self.scene.say("A", f"the producer of stream {self.stream_id} starts; reader 1 reads")
        self.row_a.begin(0, "reads")
        async with stream:
            for _ in range(int(_CUT * len(self.chunks))):
                self.take(await anext(stream), stream, self.row_a)
            offset = stream.offset
        self.row_a.stop(f"cut at offset {offset:,}")
        self.scene.say("A", f"reader 1 is cut at offset {offset:,}; the producer goes on")
        await self.time_to_return.wait()
        async with await self.resume(self.b, offset) as stream:
            self.returned.set()
            self.row_b.begin(offset, f"resumed at {offset:,}")
            self.scene.say("B", f"reader 1 resumes at offset {offset:,}")
            async for chunk in stream:
                self.take(chunk, stream, self.row_b)
        self.scene.say("B", "reader 1 learns that the stream completed")

    async def follow_from_the_start(self) -> None:
        await self.time_to_follow.wait()
        async with await self.resume(self.c, 0) as stream:
            self.followed.set()
            self.row_c.begin(0, "follows from 0")
            self.scene.say("C", "reader 2 follows from offset 0")
            async for chunk in stream:
                self.second.append(chunk)
                self.row_c.position = stream.offset
        self.scene.say("C", "reader 2 learns that the stream completed")

    async def resume(self, context: ResumableStreamContext, offset: int) -> ResumableStream:
        stream = await context.resume_existing_stream(self.stream_id, offset)
        if not stream:
            raise ProducerLostError(self.stream_id, offset)
        return stream

    def take(self, chunk: str, stream: ResumableStream, row: Row) -> None:
        self.first.append(chunk)
        row.position = stream.offset
        self.scene.read(chunk)


async def _together(*parts: Coroutine[None, None, None]) -> None:
    """Run all parts; the first error cancels the others and is raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
