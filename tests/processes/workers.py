"""The tests' side of the worker processes: start, ask, stop, kill, and leave none behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    from processes.texts import Source

_TESTS = Path(__file__).parent.parent
PATIENCE = 45.0


class WorkerEndedError(Exception):
    """The process ended before it answered."""


@dataclass(frozen=True)
class Reading:
    """What a reader has found so far; see ``worker.Reader``."""

    ending: str | None
    difference: str | None
    whole: bool
    chunks: int
    units: int
    offset: int
    last_event_id: str | None
    said_offset: int | None = None
    said_error_type: str | None = None
    said_error_message: str | None = None
    message: str | None = None

    def check_complete(self) -> None:
        """Check that the reader got the whole text, chunk by chunk, and its end."""
        assert self.difference is None
        assert (self.ending, self.whole) == ("completed", True), self
        assert self.offset == self.units

    def check_part(self, ending: str | None) -> None:
        """Check that every chunk read was right, and that this ending followed."""
        assert self.difference is None
        assert self.ending == ending, self
        assert self.offset == self.units
        if self.said_offset is not None:
            assert self.said_offset == self.units


class Worker:
    """One worker process."""

    def __init__(self, process: asyncio.subprocess.Process, errors: Path) -> None:
        self._process = process
        self._errors = errors
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._listening = asyncio.create_task(self._listen())
        self._killed = False

    @classmethod
    async def start(cls, directory: Path, settings: dict[str, Any]) -> Self:
        descriptor, errors = tempfile.mkstemp(dir=directory)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", "processes.worker", json.dumps(settings)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=descriptor,
            env=os.environ | {"PYTHONPATH": str(_TESTS)},
            limit=2**24,
        )
        os.close(descriptor)
        return cls(process, Path(errors))

    async def ask(self, do: str, **command: Any) -> Any:
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command | {"do": do, "number": number}).encode())
        self._process.stdin.write(b"\n")
        async with asyncio.timeout(PATIENCE):
            return await answer

    async def ask_all(self, commands: Sequence[dict[str, Any]], at: float = 0.0) -> list[Any]:
        answers: list[Any] = await self.ask("all", commands=commands, at=at)
        return answers

    async def begin(self, stream: str, source: Source, **more: Any) -> str:
        """Start or join the stream; return the outcome, which is ``"reading"`` on success."""
        return await self._joined(begin(stream, source, **more))

    async def resume(self, stream: str, source: Source, **more: Any) -> str:
        return await self._joined(resume(stream, source, **more))

    async def read(self, reader: str, limit: int | None = None, pause: float = 0.0) -> Reading:
        return Reading(**await self.ask("read", reader=reader, limit=limit, pause=pause))

    async def release(self, stream: str, permits: int | None = None) -> None:
        await self.ask("release", stream=stream, permits=permits)

    async def status(self, stream: str) -> str:
        status: str = await self.ask("status", stream=stream)
        return status

    async def calls(self, stream: str) -> int:
        calls: int = await self.ask("calls", stream=stream)
        return calls

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        self._killed = True
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._listening

    def memory(self, field: str = "VmRSS") -> int:
        """Bytes of memory in use; the field ``VmHWM`` is the peak."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {field} for process {self._process.pid}")

    async def end(self) -> None:
        """End the process in order, unless it was killed, and check that it reported no error."""
        if self._killed:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(PATIENCE):
                status = await self._process.wait()
        finally:
            await self.kill()
        complaints = self._errors.read_text()
        assert (status, complaints) == (0, ""), f"status {status}:\n{complaints}"

    async def _joined(self, command: dict[str, Any]) -> str:
        joined: str = (await self.ask(**command))["joined"]
        return joined

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            answer = self._waiting.pop(said["number"])
            if answer.done():
                continue
            if "crash" in said:
                answer.set_exception(AssertionError(said["crash"]))
            else:
                answer.set_result(said["answer"])
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(WorkerEndedError(self._errors.read_text()))


class Crew:
    """The worker processes of one test."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._workers: list[Worker] = []

    async def worker(self, url: str | None = None, *, more: Any = None, **options: Any) -> Worker:
        """Start a worker; ``more`` are settings beside the URL and the options."""
        settings = {"url": url, "options": options} | (more or {})
        worker = await Worker.start(self._directory, settings)
        self._workers.append(worker)
        return worker

    async def close(self) -> None:
        for worker in self._workers:
            worker.thaw()
        try:
            await asyncio.gather(*(worker.end() for worker in self._workers))
        finally:
            for worker in self._workers:
                await worker.kill()


def begin(stream: str, source: Source, reader: str = "", **more: Any) -> dict[str, Any]:
    return {"do": "begin", **_about(stream, source, reader), **more}


def resume(stream: str, source: Source, reader: str = "", **more: Any) -> dict[str, Any]:
    return {"do": "resume", **_about(stream, source, reader), **more}


def _about(stream: str, source: Source, reader: str) -> dict[str, Any]:
    return {"stream": stream, "source": source.to_json(), "reader": reader or stream}


async def state_reached(worker: Worker, stream: str, state: str, limit: float = 20.0) -> None:
    """Wait until the stream is in this state."""
    deadline = time.monotonic() + limit
    while (found := await worker.status(stream)) != state:
        assert time.monotonic() < deadline, f"stream {stream!r} stays {found}"
        await asyncio.sleep(0.02)
