"""One instance in a process of its own: commands on standard input, answers on standard output.

Each line is a JSON object. Commands run concurrently; answers carry the command's number. The
process ends with its input, so that nothing outlives the test.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
import time
import traceback
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

from processes.opening import Opening
from processes.texts import Source, utf16
from resumable_stream import ResumableStreamError, SoFar
from support.expected_logs import is_unexpected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from resumable_stream import ResumableStream

_CHASE = 20.0


class SourceFailedError(Exception):
    """What a failing source raises."""


class Gate:
    """Permits for a source; an open gate gives any number of them."""

    def __init__(self) -> None:
        self._permits = 0
        self._open = False
        self._changed = asyncio.Condition()

    async def take(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._open or self._permits)
            self._permits -= 1

    async def release(self, permits: int | None) -> None:
        async with self._changed:
            self._open = self._open or permits is None
            self._permits += permits or 0
            self._changed.notify_all()


class Reader:
    """Reads a stream, and compares each chunk with the one that its source yields.

    Attributes:
        chunks: how many it has read.
    """

    def __init__(self, stream: ResumableStream, expected: Iterator[str]) -> None:
        self._stream = stream
        self._expected = expected
        self.chunks = 0
        self._units = stream.offset
        self._found: dict[str, Any] = {"ending": None, "difference": None, "whole": False}

    async def read(self, limit: int | None, pause: float) -> dict[str, Any]:
        """Read ``limit`` more chunks, or to the end; return all that was found."""
        taken = 0
        while self._found["ending"] is None and (limit is None or taken < limit):
            try:
                chunk = await anext(self._stream)
            except StopAsyncIteration:
                self._end("completed")
            except ResumableStreamError as error:
                self._end(type(error).__name__, **described(error))
            else:
                taken += 1
                self._compare(chunk)
                if pause:
                    await asyncio.sleep(pause)
        return self._found | {
            "chunks": self.chunks,
            "units": self._units,
            "offset": self._stream.offset,
            "last_event_id": self._stream.last_event_id,
        }

    async def leave(self) -> None:
        await self._stream.aclose()

    def _compare(self, chunk: str) -> None:
        expected = next(self._expected, None)
        if chunk != expected and self._found["difference"] is None:
            shown = f"chunk {self.chunks} is {chunk!r:.200}, not {expected!r:.200}"
            self._found["difference"] = shown
        self.chunks += 1
        self._units += utf16(chunk)

    def _end(self, ending: str, **details: Any) -> None:
        self._found |= details | {"ending": ending, "whole": next(self._expected, None) is None}


def described(error: ResumableStreamError) -> dict[str, Any]:
    names = ("offset", "error_type", "error_message")
    found = {f"said_{name}": getattr(error, name, None) for name in names}
    return found | {"message": str(error)}


class Program:
    def __init__(self, settings: dict[str, Any]) -> None:
        self._opening = Opening(settings)
        self._context = self._opening.context
        self._gates: dict[str, Gate] = {}
        self._readers: dict[str, Reader] = {}
        self._reading: dict[str, asyncio.Task[dict[str, Any]]] = {}
        self._calls: Counter[str] = Counter()

    async def obey(self, command: dict[str, Any]) -> Any:
        do = command.pop("do")
        act: Callable[..., Awaitable[Any]] = getattr(self, f"do_{do}")
        return await act(**command)

    async def do_all(self, commands: list[dict[str, Any]], at: float = 0.0) -> list[Any]:
        """Run the commands concurrently from time ``at`` on, which is the same in all processes."""
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        return await asyncio.gather(*map(self.obey, commands))

    async def do_begin(
        self, stream: str, source: dict[str, Any], reader: str, *, skip: int = 0, new: bool = False
    ) -> dict[str, Any]:
        """Start or join the stream; with ``new``, only start it."""
        recipe = Source(**source)

        async def make_stream() -> AsyncIterator[str]:
            self._calls[stream] += 1
            async for chunk in self._run(recipe, stream):
                yield chunk

        start = self._context.create_new_resumable_stream if new else self._context.resumable_stream
        return await self._join(start(stream, make_stream, skip), reader, recipe.chunks(skip))

    async def do_carry_on(
        self,
        stream: str,
        source: dict[str, Any],
        reader: str,
        *,
        skip: int = 0,
        last_event_id: str | None = None,
    ) -> dict[str, Any]:
        """Continue the stream if it was lost, or join it."""
        recipe = Source(**source)

        async def make_stream() -> AsyncIterator[str]:
            raise SourceFailedError("the source ran from its beginning again")
            yield ""

        async def more(so_far: SoFar) -> AsyncIterator[str]:
            self._calls[stream] += 1
            number = len(so_far.chunks)
            if so_far.chunks != tuple(islice(recipe.chunks(), number)):
                raise SourceFailedError("what is kept is not what was produced")
            gate = self._gate(stream)
            for chunk in islice(recipe.chunks(), number, None):
                await self._before(number, recipe, gate)
                yield chunk
                number += 1
            await self._before(number, recipe, gate)

        starting = self._context.resumable_stream(
            stream,
            make_stream,
            skip,
            last_event_id=last_event_id,
            continue_lost=more,
            continue_at_most=100,
        )
        return await self._join(starting, reader, recipe.chunks(skip))

    async def do_resume(
        self,
        stream: str,
        source: dict[str, Any],
        reader: str,
        *,
        skip: int = 0,
        after: tuple[int, str] | None = None,
        chase: bool = False,
    ) -> dict[str, Any]:
        """Join the stream at an offset, or ``after`` a number of chunks, with the event id there.

        With ``chase``, ask without a pause until the stream is there.
        """
        deadline = time.monotonic() + _CHASE
        while True:
            recipe = Source(**source)
            if after is None:
                expected = recipe.chunks(skip)
                resume = self._context.resume_existing_stream(stream, skip)
            else:
                expected = islice(recipe.chunks(), after[0], None)
                resume = self._context.resume_existing_stream(stream, last_event_id=after[1])
            joined = await self._join(resume, reader, expected)
            if not chase or joined["joined"] != "NOT_FOUND" or time.monotonic() > deadline:
                return joined

    async def do_read(
        self, reader: str, limit: int | None = None, pause: float = 0.0
    ) -> dict[str, Any]:
        return await self._readers[reader].read(limit, pause)

    async def do_progress(self, reader: str) -> int:
        """Return how many chunks a reader has read, perhaps while it reads on."""
        return self._readers[reader].chunks

    async def do_read_behind(self, reader: str) -> None:
        """Read to the end in a task that can be abandoned."""
        self._reading[reader] = asyncio.create_task(self._readers[reader].read(None, 0.0))

    async def do_abandon(self, reader: str) -> None:
        """Cancel the task that reads, and drop the stream unclosed, as a careless caller would."""
        task = self._reading.pop(reader)
        task.cancel()
        await asyncio.wait({task})
        del self._readers[reader]

    async def do_leave(self, reader: str) -> None:
        await self._readers.pop(reader).leave()

    async def do_release(self, stream: str, permits: int | None = None) -> None:
        await self._gate(stream).release(permits)

    async def do_calls(self, stream: str) -> int:
        return self._calls[stream]

    async def do_status(self, stream: str) -> str:
        try:
            return str((await self._context.stream_status(stream)).state)
        except ResumableStreamError as error:
            return type(error).__name__

    async def do_cancel(self, stream: str) -> str:
        return str(await self._context.cancel_stream(stream))

    async def do_delete(self, stream: str) -> str:
        return str(await self._context.delete_stream(stream))

    async def do_hold(self, stream: str, point: str) -> None:
        """Hold the stream's producer when it comes to this point; see ``holds``."""
        self._opening.holds.arm(stream, point)

    async def do_held(self, stream: str) -> None:
        await self._opening.holds.held(stream)

    async def do_tasks(self) -> int:
        gc.collect()
        return len(asyncio.all_tasks())

    async def do_forget(self) -> None:
        self._gates.clear()
        self._readers.clear()
        self._calls.clear()

    async def do_close(self, drain_timeout: float = 0.0) -> None:
        await self._opening.aclose(drain_timeout)

    async def _join(
        self, joining: Awaitable[Any], reader: str, expected: Iterator[str]
    ) -> dict[str, Any]:
        try:
            stream = await joining
        except ResumableStreamError as error:
            return {"joined": type(error).__name__, **described(error)}
        if stream is None:
            return {"joined": "completed"}
        if not stream:
            return {"joined": str(stream)}
        self._readers[reader] = Reader(stream, expected)
        return {"joined": "reading"}

    async def _run(self, source: Source, stream: str) -> AsyncIterator[str]:
        gate = self._gate(stream)
        number = 0
        for number, chunk in enumerate(source.chunks()):
            await self._before(number, source, gate)
            yield chunk
        await self._before(number + 1, source, gate)

    async def _before(self, number: int, source: Source, gate: Gate) -> None:
        if source.gated_from is not None and number >= source.gated_from:
            await gate.take()
        if source.pause:
            await asyncio.sleep(source.pause)
        if number == source.fail_at:
            raise SourceFailedError(f"failed at {number}")

    def _gate(self, stream: str) -> Gate:
        return self._gates.setdefault(stream, Gate())


async def main() -> None:
    program = Program(json.loads(sys.argv[1]))
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=2**24)
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    running: set[asyncio.Task[None]] = set()

    async def answer(command: dict[str, Any]) -> None:
        number = command.pop("number")
        try:
            said = {"answer": await program.obey(command)}
        except Exception:  # noqa: BLE001 - the test reports it
            said = {"crash": traceback.format_exc()}
        sys.stdout.write(f"{json.dumps({'number': number} | said)}\n")
        sys.stdout.flush()

    while line := await lines.readline():
        task = asyncio.create_task(answer(json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)
    for task in running:
        task.cancel()
    await program.do_close()
    transport.close()


if __name__ == "__main__":
    # Errors are logged to standard error, which the tests check.
    logging.basicConfig(level=logging.ERROR)
    logging.getLogger("resumable_stream").addFilter(is_unexpected)
    asyncio.run(main())
