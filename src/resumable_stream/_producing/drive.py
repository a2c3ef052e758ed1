"""The source of a stream, driven into its log: begun, stopped, and closed within bounds."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING

from resumable_stream._options import CLOSE_TIMEOUT
from resumable_stream._source import Source, fill
from resumable_stream._stream_end import producing
from resumable_stream._text.endings import Ending, Status

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from resumable_stream._source import MakeStream
    from resumable_stream._text.log import Log

logger = logging.getLogger("resumable_stream")

# Sources that did not close in time: referenced until they do.
_stragglers: set[asyncio.Task[None]] = set()


class Drive:
    """Runs the source in a task, and gives the log its ending whatever becomes of that task.

    Args:
        log_tracebacks: log the message and traceback of a source's exception, not only its type.
        throttle: awaited after each chunk, if given.

    Attributes:
        ended: done once the stream has an ending.
    """

    __slots__ = ("_log", "_log_tracebacks", "_stream_id", "_task", "_throttle", "ended")

    def __init__(
        self,
        stream_id: str,
        log: Log,
        *,
        log_tracebacks: bool,
        throttle: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._stream_id = stream_id
        self._log = log
        self._log_tracebacks = log_tracebacks
        self._throttle = throttle
        # A future: an event takes a kilobyte.
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    def begin(self, make_stream: MakeStream) -> None:
        """Run the source."""
        self._task = asyncio.get_running_loop().create_task(
            self._run(make_stream), name=f"resumable-stream producer {self._stream_id!r} source"
        )
        self._task.add_done_callback(self._is_gone)

    def stop(self, ending: Ending) -> bool:
        """End the stream now, and begin to close the source; False if it had ended already."""
        if not self._finish(ending):
            return False
        if self._task is not None:
            self._task.cancel()
        return True

    async def over(self) -> None:
        """Wait, once the stream has ended, until the source is closed; for a bounded time only."""
        if self._task is None:
            return
        await asyncio.wait({self._task}, timeout=CLOSE_TIMEOUT)
        if not self._task.done():
            logger.warning("stream %r: the source ignores being closed", self._stream_id)
            _stragglers.add(self._task)
            self._task.add_done_callback(_stragglers.discard)

    async def close(self, patience: float) -> None:
        """Close the source, whose stream has ended; wait ``patience`` seconds at most."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=patience)

    def _finish(self, ending: Ending) -> bool:
        if not self.ended.done():
            self.ended.set_result(None)
        return self._log.finish(ending)

    async def _run(self, make_stream: MakeStream) -> None:
        producing.set(self._log)
        try:
            async with Source(make_stream) as chunks:
                if self._throttle is None:
                    await fill(self._log, chunks)
                else:
                    async with aclosing(_throttled(chunks, self._throttle)) as throttled:
                        await fill(self._log, throttled)
                self._finish(Ending(Status.COMPLETED))
        except asyncio.CancelledError as error:
            if self._log.ending is None:
                # Nobody here cancelled it: it is the source's own error, or the loop is ending.
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    self._finish(Ending(Status.LOST))
                else:
                    self._fail(error)
            raise
        except BaseException as error:
            self._fail(error)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise

    def _is_gone(self, task: asyncio.Task[None]) -> None:
        """See that the log has an ending: a task cancelled before its first step gave it none."""
        error = None if task.cancelled() else task.exception()
        self._finish(Ending(Status.LOST) if error is None else _failure(error))

    def _fail(self, error: BaseException) -> None:
        shown = error if self._log_tracebacks else None
        kind = type(error).__name__
        if self._finish(_failure(error)):
            logger.error("stream %r: the source failed: %s", self._stream_id, kind, exc_info=shown)
        else:
            logger.warning(
                "stream %r: the source raised on closing: %s", self._stream_id, kind, exc_info=shown
            )


async def _throttled(
    chunks: AsyncIterator[str], throttle: Callable[[], Awaitable[None]]
) -> AsyncGenerator[str, None]:
    async for chunk in chunks:
        yield chunk
        await throttle()


def _failure(error: BaseException) -> Ending:
    return Ending(Status.FAILED, type(error).__name__, str(error), cause=error)
