"""What the application is told when a stream that it started is over, and what the source is."""

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
    """Tell a source why it is being closed; None while its stream goes on, and outside a source.

    Meant for the source's ``except asyncio.CancelledError`` and ``finally`` blocks: ``"cancelled"``
    after ``cancel_stream``, ``"lost"`` when the context or the event loop ends, ``"superseded"``
    when another producer has taken the id over.
    """
    log = producing.get(None)
    if log is None:
        return None
    if log.ending is not None:
        return log.ending.status
    task = asyncio.current_task()
    # The event loop cancels the source before anybody could set an ending.
    return Status.LOST if task is not None and task.cancelling() else None


@final
class StreamEnd:
    """How a stream ended, and its text as far as it is buffered: what ``on_end`` is given.

    Attributes:
        stream_id: the stream's name.
        generation: the run that has ended.
        status: how it ended; ``"superseded"`` if another producer holds the id by now, so that
            what is stored under this id is that one's.
        error: the source's exception, of a failed stream.
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
        """The source's chunks, drawn as they are iterated; may be iterated again."""
        return _Chunks(self._log)

    @property
    def text(self) -> str:
        """All the chunks as one text."""
        return "".join(self.chunks)

    @property
    def whole(self) -> bool:
        """Whether the text begins where the stream began: nothing exceeded ``buffer_limit``."""
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
    """Call ``on_end`` and wait for it, ``patience`` seconds at most; log what it raises."""
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
            logger.error(  # noqa: TRY400 - where it waited is no fault of anybody here
                "stream %r: on_end took longer than %g s, and was cancelled",
                end.stream_id,
                patience,
            )
        else:
            logger.exception("stream %r: on_end failed", end.stream_id)
