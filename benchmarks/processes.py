"""The runner's side of the measured processes: start them, ask them, leave none behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from benchmarks.contenders import Contender
    from benchmarks.environments import Launch

_LINE_LIMIT = 2**28
_END_TIMEOUT = 20.0


class RunFailedError(Exception):
    """A contender did not do what was asked; the tables show the message in its place."""


class NotMeasuredError(Exception):
    """A contender cannot take part, for example because an older version lacks something."""


class Process:
    """One measured process; it is killed at the end of the ``async with`` block.

    ``settings`` are for the contender's adapter.
    """

    def __init__(
        self,
        launch: Launch,
        contender: Contender,
        url: str,
        patience: float,
        settings: Mapping[str, str],
    ) -> None:
        self._launch = launch
        self._contender = contender
        self._url = url
        self._patience = patience
        self._settings = settings

    async def __aenter__(self) -> Self:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed on exit
        self._process = await asyncio.create_subprocess_exec(
            *self._launch.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._errors,
            env=os.environ | self._launch.variables,
            limit=_LINE_LIMIT,
        )
        try:
            adapter = self._contender.adapter
            await self.ask("open", adapter=adapter, url=self._url, **self._settings)
        except BaseException:
            await self._kill()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._launch.profiled:
            await self._end()
        await self._kill()

    async def ask(self, do: str, **fields: object) -> Any:
        """Send the process a command and return its answer.

        Raises:
            RunFailedError: it reported a failure, it ended, or it took too long.
            NotMeasuredError: it reported that it lacks what is needed.
        """
        assert self._process.stdin is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")
        try:
            async with asyncio.timeout(self._patience):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise RunFailedError(f"{do}: not done within {self._patience:g} s") from None
        if not line:
            raise RunFailedError(f"{do}: the process ended: {self._last_words()}")
        said = json.loads(line)
        if "lacks" in said:
            raise NotMeasuredError(said["lacks"])
        if "failed" in said:
            raise RunFailedError(f"{do}: {said['failed']}")
        return said.get("answer")

    async def _end(self) -> None:
        """Let it end by itself, because it writes its profile then."""
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_TIMEOUT):
                await self._process.wait()

    async def _kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._errors.close()

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "without a message"
