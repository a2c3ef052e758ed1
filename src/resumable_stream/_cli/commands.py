"""The commands that work on one stream, each on a context that the caller opens and closes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Final

from resumable_stream import CancelResult, StreamState
from resumable_stream._cli.console import ExitStatus, one_line, report
from resumable_stream.errors import BackendError, ResumableStreamError

if TYPE_CHECKING:
    from resumable_stream import ResumableStreamContext
    from resumable_stream._cli.stdio import Input, Output

# How long an interrupted ``produce`` tries to cancel its stream.
_FAREWELL: Final = 5.0


async def produce(context: ResumableStreamContext, stream_id: str, source: Input) -> ExitStatus:
    """Start the stream and stay until it ends; an interrupt cancels it."""
    stream = await context.create_new_resumable_stream(stream_id, source.text)
    try:
        async with stream:
            async for _run in stream.runs():
                pass
    except asyncio.CancelledError:
        with contextlib.suppress(ResumableStreamError, TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await context.cancel_stream(stream_id)
        raise
    return ExitStatus.COMPLETED


async def follow(
    context: ResumableStreamContext, stream_id: str, offset: int, output: Output, wait: float = 0.0
) -> ExitStatus:
    """Write the text from the offset on, as it comes, until the stream ends."""
    try:
        stream = await context.resume_existing_stream(stream_id, offset, wait=wait)
        if stream is None:
            report(f"stream {stream_id!r} completed earlier, and its text is gone")
            return ExitStatus.NOT_FOUND
        if not stream:
            return _not_found(stream_id)
        async with stream:
            async for run in stream.runs():
                await output.write(run)
    except (asyncio.CancelledError, BackendError):
        report(f"to continue: --offset {output.mark}")
        raise
    return ExitStatus.COMPLETED


async def status(context: ResumableStreamContext, stream_id: str) -> ExitStatus:
    """Write one line: the stream's state, and what is known of its error."""
    found = await context.stream_status(stream_id)
    details = [part for part in (found.error_type, found.error_message) if part]
    sys.stdout.write(f"{one_line(': '.join([found.state.value, *details]))}\n")
    return _BY_STATE[found.state]


async def cancel(context: ResumableStreamContext, stream_id: str) -> ExitStatus:
    """Stop the stream, and write the result."""
    result = await context.cancel_stream(stream_id)
    if result is CancelResult.NOT_FOUND:
        return _not_found(stream_id)
    sys.stdout.write(f"{result.value}\n")
    if result is CancelResult.NO_PRODUCER_ANSWERED:
        return ExitStatus.PRODUCER_LOST
    return ExitStatus.COMPLETED


_BY_STATE: Final = {
    StreamState.ACTIVE: ExitStatus.COMPLETED,
    StreamState.COMPLETED: ExitStatus.COMPLETED,
    StreamState.FAILED: ExitStatus.FAILED,
    StreamState.CANCELLED: ExitStatus.CANCELLED,
    StreamState.LOST: ExitStatus.PRODUCER_LOST,
    StreamState.NOT_FOUND: ExitStatus.NOT_FOUND,
}


def _not_found(stream_id: str) -> ExitStatus:
    report(f"there is no stream {stream_id!r}")
    return ExitStatus.NOT_FOUND
