"""Starts the project's own program as a user would: on pipes, and in a terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

COMMAND = (sys.executable, "-W", "error", "-m", "resumable_stream")
PATIENCE = 30.0


def environment(**changes: str) -> dict[str, str]:
    """Return the environment without variables that choose a backend or affect the output."""
    unwanted = {"REDIS_URL", "KV_URL", "NO_COLOR", "TERM", "COLUMNS", "LINES", "PYTHONIOENCODING"}
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return kept | {"TERM": "xterm-256color", "PYTHONUTF8": "1"} | changes


def run(*arguments: str, stdin: bytes = b"", **changes: str) -> subprocess.CompletedProcess[bytes]:
    """Run the program to its end, on pipes."""
    return subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        env=environment(**changes),
        check=False,
        timeout=PATIENCE,
    )


def start(*arguments: str, **changes: str) -> subprocess.Popen[bytes]:
    """Start the program on pipes; end it before its context manager is left."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**changes),
    )


class Terminal:
    """The program in a pseudo-terminal.

    Attributes:
        shown: all that it has written so far.
    """

    def __init__(self, *arguments: str, columns: int = 100, **changes: str) -> None:
        self.shown = ""
        self._bytes = b""
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        self._process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(**changes),
            start_new_session=True,
        )
        os.close(theirs)

    def read_until(self, words: str | None) -> str:
        """Read until the words are shown; without any, until the terminal is closed."""
        deadline = time.monotonic() + PATIENCE
        while words is None or words not in self.shown:
            left = deadline - time.monotonic()
            assert left > 0, f"{words!r} was not shown in {PATIENCE:g} s: {self.shown!r}"
            if not select.select([self._ours], [], [], left)[0]:
                continue
            piece = b""
            # Linux reports the end by EIO, other systems by an empty read.
            with suppress(OSError):
                piece = os.read(self._ours, 65536)
            if not piece:
                assert words is None, f"it ended without showing {words!r}: {self.shown!r}"
                break
            self._bytes += piece
            self.shown = self._bytes.decode(errors="replace")
        return self.shown

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Read the rest and return the exit status."""
        self.read_until(None)
        return self._process.wait(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._ours)
