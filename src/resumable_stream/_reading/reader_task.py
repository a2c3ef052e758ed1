"""The task of a reader elsewhere: it owns the subscriptions, and does what is due until the end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from resumable_stream._text.endings import Ending, Status
from resumable_stream.errors import BackendError, ContextClosedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream._reading.dialect import Dialect
    from resumable_stream._reading.remote import RemoteReader
    from resumable_stream.ports import Loss, Subscription

logger = logging.getLogger("resumable_stream")

_LEAVE_TIMEOUT = 2.0
_CLOSED = "the context was closed under its reader"


class ReaderTask:
    """Acts for one reader in its dialect, from ``begin`` until the text has ended.

    Attributes:
        releasing: it has come to its end, and gives up what it holds.
    """

    __slots__ = (
        "_changed",
        "_dialect",
        "_reader",
        "_subscriptions",
        "_task",
        "_tick",
        "releasing",
    )

    def __init__(self, reader: RemoteReader, dialect: Dialect) -> None:
        self.releasing = False
        self._reader = reader
        self._dialect = dialect
        self._changed = asyncio.Event()
        self._subscriptions: list[Subscription] = []
        self._task: asyncio.Task[None] | None = None
        self._tick = 0

    def begin(self) -> None:
        """Follow the producer, as a task of the background."""
        reader = self._reader
        self._task = reader.shared.background.start(
            self._follow(), f"resumable-stream listener {reader.stream_id!r}"
        )
        # A task that is cancelled before its first step never runs its own ``finally``.
        self._task.add_done_callback(lambda _task: reader.end(ContextClosedError(_CLOSED)))

    def wake(self) -> None:
        """Do what is due."""
        self._changed.set()

    def leave(self) -> None:
        """Come to an end, since the text has ended: what was opened is released by the task."""
        if self._task is not None and not self.releasing:
            self._task.cancel()

    async def wait(self) -> None:
        """Wait until all is released."""
        if self._task is not None and self._task is not asyncio.current_task():
            await asyncio.wait({self._task})

    # For the dialect

    async def subscribe(
        self,
        channel_id: str,
        on_message: Callable[[bytes], None],
        on_loss: Callable[[Loss], None],
    ) -> None:
        """Subscribe to a channel of text, until the reader leaves or ``unsubscribe``."""
        shared = self._reader.shared
        channel, backend = shared.names.chunk(channel_id), shared.backend
        self._subscriptions.append(await backend.subscribe(channel, on_message, on_loss))

    async def unsubscribe(self, keep: int) -> None:
        """Give up the subscriptions after the first ``keep``."""
        while len(self._subscriptions) > keep:
            await self._subscriptions.pop().aclose()

    async def _follow(self) -> None:
        reader = self._reader
        ticks = reader.shared.ticks
        try:
            await self._dialect.open()
            while not reader.unread.over:
                self._changed.clear()
                wait = await self._dialect.act()
                self._tick = ticks.call_later(wait, self._look)
                try:
                    await self._changed.wait()
                finally:
                    ticks.cancel(self._tick, self._look)
        except asyncio.CancelledError:
            # ``close`` has ended the text before it cancels; else the context or the loop ends.
            if not reader.unread.over:
                reader.shared.background.notice_end()
            reader.end(ContextClosedError(_CLOSED))
            raise
        except BackendError as error:
            reader.end(error)
        except Exception:
            logger.exception("stream %r: reading failed", reader.stream_id)
            reader.end_as(Ending(Status.LOST))
        finally:
            reader.end()
            await self._release()

    def _look(self) -> None:
        """Wake the task if something is due; what has come meanwhile may have put it off."""
        if (wait := self._dialect.due_in()) > 0:
            self._tick = self._reader.shared.ticks.call_later(wait, self._look)
        else:
            self.wake()

    async def _release(self) -> None:
        self.releasing = True
        for subscription in self._subscriptions:
            await subscription.aclose()
        try:
            async with asyncio.timeout(_LEAVE_TIMEOUT):
                await self._dialect.leave()
        except (BackendError, TimeoutError) as error:
            # The producer forgets a follower that it no longer hears.
            logger.debug("stream %r: left without a word: %r", self._reader.stream_id, error)
