"""What all commands share: exit statuses, the one-line error message, and the end by a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from enum import IntEnum
from typing import TYPE_CHECKING

from resumable_stream.errors import (
    BackendError,
    BackendLookupError,
    InvalidArgumentError,
    OffsetOutOfRangeError,
    ProducerLostError,
    StreamCancelledError,
    StreamExistsError,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from resumable_stream.errors import ResumableStreamError

PROGRAM = "resumable-stream"


class ExitStatus(IntEnum):
    COMPLETED = 0
    FAILED = 1
    USAGE = 2
    CANCELLED = 3
    PRODUCER_LOST = 4
    NOT_FOUND = 5
    UNAVAILABLE = 6
    INTERRUPTED = 130
    BROKEN_PIPE = 141


EXIT_STATUSES = """\
exit status:
  0    completed
  1    failed: the source raised, or the demo's readers did not get the exact text
  2    wrong usage, or the stream id is taken
  3    cancelled
  4    producer lost, superseded by another one, or not answering
  5    not found, or the text is no longer kept
  6    backend unavailable
  130  interrupted by Ctrl-C (128 + the signal's number for other signals)
  141  the reader of the output went away
"""

_BY_ERROR: tuple[tuple[type[ResumableStreamError], ExitStatus], ...] = (
    (InvalidArgumentError, ExitStatus.USAGE),
    (BackendLookupError, ExitStatus.USAGE),
    (StreamExistsError, ExitStatus.USAGE),
    (StreamCancelledError, ExitStatus.CANCELLED),
    (ProducerLostError, ExitStatus.PRODUCER_LOST),
    (OffsetOutOfRangeError, ExitStatus.NOT_FOUND),
    (BackendError, ExitStatus.UNAVAILABLE),
)


def status_of(error: ResumableStreamError) -> ExitStatus:
    for kind, status in _BY_ERROR:
        if isinstance(error, kind):
            return status
    return ExitStatus.FAILED


def one_line(text: str) -> str:
    """Make foreign text harmless to a terminal: one line, no control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def report(message: str) -> None:
    sys.stderr.write(f"{PROGRAM}: {one_line(message)}\n")


def discard_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush of it cannot fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def run(command: Coroutine[None, None, int]) -> int:
    """Run a command and return its exit status; a signal cancels the command, as Ctrl-C does."""
    received: list[int] = []

    async def supervised() -> int:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()

        def stop(number: int) -> None:
            received.append(number)
            if task is not None:
                task.cancel()

        if sys.platform != "win32":
            for number in (signal.SIGTERM, signal.SIGHUP):
                # A signal that the parent process ignores stays ignored, as with nohup.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    loop.add_signal_handler(number, stop, number)
        return await command

    try:
        return asyncio.run(supervised())
    except asyncio.CancelledError:
        return 128 + received[0] if received else ExitStatus.INTERRUPTED
