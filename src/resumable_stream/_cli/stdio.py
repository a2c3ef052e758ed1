"""Standard input and output from an event loop, without blocking the loop or the program's exit.

An event loop cannot await every pipe, terminal and file, and making them non-blocking would affect
the other programs that share them. So a daemon thread makes the blocking calls: unlike an
executor's threads, it does not delay the exit while nobody types and nobody reads.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import select
import threading
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, Self, TypeVar

from resumable_stream._text.offsets import OffsetUnit, length

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import TracebackType

T = TypeVar("T")

PIECE: Final = 64 * 1024

# How long a cancelled write may go on, so that it is known what was written.
_LAST_WRITE: Final = 1.0

# Ctrl-C also ends the program that writes to our pipe. Its end of file may arrive before the
# signal, and must not be taken for the end of the text.
_INTERRUPT_MAY_FOLLOW: Final = 0.05


class Worker:
    """A thread that runs one call after another."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, function: Callable[[], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: Exception | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]  # there is an error or a result

        def job() -> None:
            result, error = None, None
            try:
                result = function()
            except Exception as caught:  # noqa: BLE001  # the caller that awaits the future gets it
                error = caught
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, result, error)

        self._jobs.put(job)
        return future

    def close(self) -> None:
        """End the thread after its present call."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except RuntimeError:
                return  # the loop has just been closed: nobody waits any more


class Input:
    """Text from a file descriptor, as it comes.

    Args:
        descriptor: where the text comes from.
        errors: what to do with bytes that are not UTF-8, as in ``bytes.decode``.
        tee: a descriptor to copy the bytes to, until its reader goes away.
    """

    def __init__(self, descriptor: int, *, errors: str = "strict", tee: int | None = None) -> None:
        self._descriptor = descriptor
        self._errors = errors
        self._tee = tee

    async def text(self) -> AsyncIterator[str]:
        """Yield what each read brings; raise ``ValueError`` where it is not UTF-8."""
        worker = Worker("stdin")
        decoder = codecs.getincrementaldecoder("utf-8")(self._errors)
        position = 0
        try:
            while True:
                piece = await worker.submit(self._read)
                pending = len(decoder.getstate()[0])
                try:
                    text = decoder.decode(piece, final=not piece)
                except UnicodeDecodeError as error:
                    at = position - pending + error.start
                    raise ValueError(
                        f"the input is not UTF-8 at byte {at}: {error.reason}"
                    ) from error
                position += len(piece)
                if text:
                    yield text
                if not piece:
                    await asyncio.sleep(_INTERRUPT_MAY_FOLLOW)
                    return
        finally:
            worker.close()

    def _read(self) -> bytes:
        piece = _retrying(self._descriptor, partial(os.read, self._descriptor, PIECE), reading=True)
        if self._tee is not None:
            try:
                _write_all(self._tee, piece)
            except BrokenPipeError:
                self._tee = None
        return piece


class Output:
    """A file descriptor to write a stream's text to, which remembers how much was written.

    Attributes:
        mark: the offset after the last chunk that was written.
    """

    def __init__(self, descriptor: int, mark: int) -> None:
        self._descriptor = descriptor
        self._worker = Worker("stdout")
        self.mark = mark

    async def write(self, chunks: list[str]) -> None:
        """Write all chunks; a cancelled write gets another second to finish its present chunk."""
        written: list[str] = []
        cancelled = threading.Event()

        def job() -> None:
            for chunk in chunks:
                if cancelled.is_set():
                    return
                _write_all(self._descriptor, chunk.encode("utf-8", "replace"))
                written.append(chunk)

        writing = self._worker.submit(job)
        try:
            await asyncio.wait({writing})
        except asyncio.CancelledError:
            cancelled.set()
            await asyncio.wait({writing}, timeout=_LAST_WRITE)
            if not writing.cancel():
                writing.exception()  # the cancellation is raised instead
            raise
        finally:
            self.mark += length("".join(written), OffsetUnit.UTF16)
        writing.result()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._worker.close()


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        write = partial(os.write, descriptor, rest[:PIECE])
        rest = rest[_retrying(descriptor, write, reading=False) :]


def _retrying(descriptor: int, call: Callable[[], T], *, reading: bool) -> T:
    """Repeat the call until it does not block: another program may have made it non-blocking."""
    while True:
        try:
            return call()
        except BlockingIOError:
            waiting = [descriptor]
            select.select(waiting if reading else [], [] if reading else waiting, [])
