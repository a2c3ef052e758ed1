"""Web servers in processes of their own, each started, asked and ended by its test."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx

from support.servers import ServerError, free_port
from web.client import http_client

if TYPE_CHECKING:
    from types import TracebackType

_TESTS = Path(__file__).parent.parent
# Starting takes long: programs import a lot, and many start at once.
_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 20.0
_COMPLAINTS = ("Traceback", "ERROR", "CRITICAL", "never awaited", "was never retrieved")

COMMANDS: dict[str, tuple[str, ...]] = {
    "uvicorn": ("uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--no-access-log"),
    "hypercorn": ("hypercorn", "--bind", "127.0.0.1:{port}"),
    "granian": ("granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}"),
    "aiohttp": ("aiohttp.web", "--hostname", "127.0.0.1", "--port", "{port}"),
}


class WebServer:
    """One server of an application; ``async with`` starts it, and stops it as a deployment would.

    Args:
        kind: which of ``COMMANDS``.
        application: its name on that server's command line.
        more: more arguments of that command line.
        environment: variables that the application finds there.
        path: where the application is imported from, beside the tests.

    Attributes:
        port, url: where it answers.
    """

    def __init__(
        self,
        kind: str,
        application: str,
        *more: str,
        environment: dict[str, str] | None = None,
        path: Path = _TESTS,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._arguments = [word.format(port=self.port) for word in COMMANDS[kind]]
        self._arguments += [*more, application]
        self._environment = environment or {}
        self._path = os.pathsep.join(map(str, (path, _TESTS)))
        self._process: asyncio.subprocess.Process | None = None
        self._killed = False
        descriptor, name = tempfile.mkstemp(prefix="resumable-stream-web-")
        os.close(descriptor)
        self._log = Path(name)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def memory(self, field: str = "VmRSS", pid: int | None = None) -> int:
        """Bytes of memory in use; the field ``VmHWM`` is the peak."""
        for line in Path(f"/proc/{pid or self.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {field} for process {pid or self.pid}")

    def terminate(self) -> None:
        """Send SIGTERM, as a deployment does to the old version."""
        os.kill(self.pid, signal.SIGTERM)

    async def wait(self) -> int:
        assert self._process is not None
        async with asyncio.timeout(_STOP_TIMEOUT):
            return await self._process.wait()

    async def kill(self) -> None:
        self._killed = True
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def restart(self) -> None:
        """Kill it, and start it again where it answered."""
        await self.kill()
        self._killed = False
        await self.__aenter__()

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *self._arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self._environment | {"PYTHONPATH": self._path},
            )
        try:
            await self._wait_until_it_answers()
        except BaseException:
            await self.kill()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._process is not None and self._process.returncode is None:
                self.terminate()
                await self.wait()
        finally:
            was_killed = self._killed
            await self.kill()
            log = self.log
            self._log.unlink()
        if error is not None:
            error.add_note(f"{' '.join(self._arguments)} has logged:\n{log}")
        elif not was_killed:
            self._check(log)

    def _check(self, log: str) -> None:
        assert not [word for word in _COMPLAINTS if word in log], log

    async def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        async with http_client() as client:
            deadline = asyncio.get_running_loop().time() + _START_TIMEOUT
            while True:
                try:
                    await client.get(self.url, timeout=_START_TIMEOUT)
                except httpx.TransportError:
                    if self._process.returncode is not None:
                        raise ServerError(f"ended while starting:\n{self.log}") from None
                    if asyncio.get_running_loop().time() > deadline:
                        raise ServerError(f"no answer in time:\n{self.log}") from None
                    await asyncio.sleep(0.05)
                else:
                    return
