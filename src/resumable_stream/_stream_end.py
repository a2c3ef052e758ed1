"""What the application learns when its stream is over, and what a closing source learns."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, final

from resumable_stream._text.endings import Ending, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from resumable_stream._text.log import Log

logger = logging.getLogger("resumable_stream")

OnEnd = Callable[["StreamEnd"], Awaitable[object] | object]

producing: ContextVar[Log] = ContextVar("producing")


def closing_status() -> Status | None:
    """Return why the source is being closed; None while its stream goes on, or outside a source.

    Call it in the source's ``except asyncio.CancelledError`` and ``finally`` blocks. It returns
    ``"cancelled"`` after ``cancel_stream``, ``"lost"`` when the context or the event loop ends, and
    ``"superseded"`` when another producer has taken the id over.
    """
    log = producing.get(None)
    if log is None:
        return None
    if log.ending is not None:
        return log.ending.status
    task = asyncio.current_task()
    # An event loop that ends cancels the source before an ending is set.
    return Status.LOST if task is not None and task.cancelling() else None


@final
class StreamEnd:
    """The argument of ``on_end``: how a stream ended, and its text that is still buffered.

    Attributes:
        stream_id: the stream's name.
        generation: the run that has ended.
        status: how it ended; ``"superseded"`` if another producer has taken the id over, which
            then stores its own text under this id.
        error: the source's exception, if the stream failed.
    """

    __slots__ = ("_log", "error", "generation", "status", "stream_id")

    def __init__(self, stream_id: str, generation: int, ending: Ending, log: Log) -> None:
        self.stream_id = stream_id
        self.generation = generation
        self.status = ending.status
        self.error = ending.cause
        self._log = log

    @property
    def chunks(self) -> Iterable[str]:
        """The source's chunks, decoded while they are iterated; may be iterated again."""
        return _Chunks(self._log)

    @property
    def text(self) -> str:
        """All the chunks as one text."""
        return "".join(self.chunks)

    @property
    def whole(self) -> bool:
        """Whether the text is there from its beginning: nothing exceeded ``buffer_limit``."""
        return self._log.first == 0

    def __repr__(self) -> str:
        return f"<StreamEnd of {self.stream_id!r}: {self.status}>"


class _Chunks:
    def __init__(self, log: Log) -> None:
        self._log = log

    def __iter__(self) -> Iterator[str]:
        log, sequence = self._log, self._log.first
        while sequence < log.end:
            run = log.texts(sequence)
            yield from run
            sequence += len(run)


async def tell_owner(on_end: OnEnd, end: StreamEnd, patience: float) -> None:
    """Call ``on_end`` and wait for it for at most ``patience`` seconds; log what it raises."""
    timeout = asyncio.timeout(patience)
    try:
        async with timeout:
            returned = on_end(end)
            if inspect.isawaitable(returned):
                await returned
    except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        if timeout.expired():
            logger.error(  # noqa: TRY400 - the traceback would only show where it waited
                "stream %r: on_end took longer than %g s, and was cancelled",
                end.stream_id,
                patience,
            )
        else:
            logger.exception("stream %r: on_end failed", end.stream_id)
