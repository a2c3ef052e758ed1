"""What the tests of the protocol use: instances, sources that wait for a signal, texts."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

from resumable_stream import Options, create_resumable_stream_context
from resumable_stream_conformance._suite import SuiteBase
from resumable_stream_conformance._wrapper import ObservedBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from resumable_stream import ResumableStream, ResumableStreamContext, StreamState
    from resumable_stream.ports import Backend

Error = TypeVar("Error", bound=Exception)

LEASE = 2.0
# How late something may be on a busy machine.
SLACK = 4.0
PATIENCE = 15.0

# The numbers make each chunk unique: outside the basic plane, combining, empty, with line ends.
CHUNKS = (
    *(
        f"{number}:" + ("\U0001f600", "e\u0301 ", "data: x\n\n", "", "\u540d\u524d\r\n")[number % 5]
        for number in range(60)
    ),
    *("", "\U0001f469\u200d\U0001f4bb", "end"),
)


def units(text: str) -> int:
    """The length in UTF-16 code units: what an offset counts."""
    return len(text.encode("utf-16-le")) // 2


class Source:
    """A source that waits for ``go`` before the chunk of a given number.

    Attributes:
        runs: how often it was started.
        reached: set when it waits, with all chunks before that yielded.
        go: what it waits for.
        closed: set when it has ended or was closed.
    """

    def __init__(
        self,
        chunks: Iterable[str] = CHUNKS,
        *,
        hold_at: int | None = None,
        error: Exception | None = None,
        pause: float | None = None,
    ) -> None:
        self.chunks = tuple(chunks)
        self.runs = 0
        self.reached = asyncio.Event()
        self.go = asyncio.Event()
        self.closed = asyncio.Event()
        self._hold_at = hold_at
        self._error = error
        self._pause = pause

    @property
    def text(self) -> str:
        return "".join(self.chunks)

    def before(self, number: int) -> str:
        """The text of the chunks before that number."""
        return "".join(self.chunks[:number])

    def __call__(self) -> AsyncIterator[str]:
        self.runs += 1
        return self._generate()

    async def _generate(self) -> AsyncIterator[str]:
        try:
            for number, chunk in enumerate(self.chunks):
                await self._maybe_hold(number)
                if self._pause is not None:
                    await asyncio.sleep(self._pause)
                yield chunk
            await self._maybe_hold(len(self.chunks))
            if self._error is not None:
                raise self._error
        finally:
            self.closed.set()

    async def _maybe_hold(self, number: int) -> None:
        if number == self._hold_at:
            self.reached.set()
            await self.go.wait()


class ObservedInstance:
    """One server instance: a context on an observed backend of its own."""

    def __init__(self, context: ResumableStreamContext, backend: ObservedBackend) -> None:
        self.context = context
        self.backend = backend

    async def start(
        self, source: Callable[[], AsyncIterator[str]], offset: int | None = None
    ) -> ResumableStream:
        """Start or join the stream of the test."""
        stream = await self.context.resumable_stream("stream", source, offset)
        assert stream is not None, "the stream is over already"
        return stream

    async def resume(
        self, offset: int | None = None, *, last_event_id: str | None = None
    ) -> ResumableStream:
        stream = await self.context.resume_existing_stream(
            "stream", offset, last_event_id=last_event_id
        )
        assert stream, f"there is nothing to resume: {stream!r}"
        return stream

    async def until_over(self, state: StreamState) -> None:
        """Wait until this instance sees the state: recording it may take a moment."""
        deadline = time.monotonic() + LEASE + SLACK
        while (status := await self.context.stream_status("stream")).state is not state:
            assert time.monotonic() < deadline, f"the stream is {status.state}, not {state}"
            await asyncio.sleep(0.02)


class Stage(SuiteBase):
    """Instances under one prefix."""

    async def instance(self, backend: Backend | None = None, **options: Any) -> ObservedInstance:
        """Start an instance, by default on a backend of its own; it is closed after the test."""
        observed = ObservedBackend(backend or await self.connect())
        chosen: dict[str, Any] = {"lease": LEASE, "handshake_timeout": LEASE} | options
        context = create_resumable_stream_context(
            backend=observed, key_prefix=self.namespace, options=Options(**chosen)
        )
        self._stack.push_async_callback(context.aclose, 0.0)
        return ObservedInstance(context, observed)

    async def instances(self, count: int, **options: Any) -> list[ObservedInstance]:
        return [await self.instance(**options) for _ in range(count)]

    @property
    def sentinel(self) -> str:
        """The key of the test's stream."""
        return f"{self.namespace}:rs:sentinel:stream"


async def read(stream: AsyncIterator[str], count: int | None = None) -> list[str]:
    """Read that many chunks, or all."""
    chunks: list[str] = []
    while count is None or len(chunks) < count:
        try:
            chunks.append(await anext(stream))
        except StopAsyncIteration:
            break
    return chunks


async def read_until(stream: AsyncIterator[str], text: str) -> list[str]:
    """Read as much as that text, and assert that it is that text."""
    chunks: list[str] = []
    while len("".join(chunks)) < len(text):
        chunks.append(await anext(stream))
    assert "".join(chunks) == text
    return chunks


async def read_to_error(stream: AsyncIterator[str], kind: type[Error]) -> tuple[list[str], Error]:
    """Read until the stream raises; return what came before, and the error."""
    chunks: list[str] = []
    try:
        while True:
            chunks.append(await anext(stream))
    except kind as error:
        return chunks, error
    except StopAsyncIteration:
        raise AssertionError(
            f"ended normally after {len(chunks)} chunks, not with {kind.__name__}"
        ) from None


async def until(holds: Callable[[], bool], what: str, *, patience: float = PATIENCE) -> None:
    """Wait for a state that nothing announces."""
    __tracebackhide__ = True
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what}"
        await asyncio.sleep(0.01)
