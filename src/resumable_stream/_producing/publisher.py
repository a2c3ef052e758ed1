"""The task that sends what a stream has to send: it waits, hands to the broker, and retries."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from resumable_stream._backoff import Backoff
from resumable_stream._text.log import PACE
from resumable_stream.errors import AccessDeniedError, BackendError, BackendUnavailableError

if TYPE_CHECKING:
    from resumable_stream._producing.outgoing import Outgoing
    from resumable_stream._protocol.wire import EndFrame
    from resumable_stream.ports import PubSub

logger = logging.getLogger("resumable_stream")

_LEAST_WAIT = 0.0001
_FIRST_PAUSE = 0.1


class Publisher:
    """Serves the remote listeners of one stream; idle and without a task while there are none."""

    __slots__ = (
        "_backoff",
        "_left",
        "_loop",
        "_outgoing",
        "_pubsub",
        "_stopped",
        "_task",
        "_timer",
        "_waiter",
    )

    def __init__(self, outgoing: Outgoing, pubsub: PubSub) -> None:
        self._loop = asyncio.get_running_loop()
        self._outgoing = outgoing
        self._pubsub = pubsub
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._waiter: asyncio.Future[None] | None = None  # while the task waits
        self._timer: asyncio.TimerHandle | None = None
        self._backoff: Backoff | None = None  # while publishing fails
        self._left: asyncio.Event | None = None  # while somebody waits for the listeners to leave

    def wake(self) -> None:
        """Look for something to send; start the task if it is needed and does not run."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._task is None and not self._stopped and self._outgoing.is_needed():
            self._task = self._loop.create_task(
                self._run(), name=f"resumable-stream publisher {self._outgoing.stream_id!r}"
            )

    async def farewell(self) -> None:
        """Wait until every listener has got the end, or is gone, or no longer reads."""
        self._outgoing.linger()
        while self._task is not None and self._outgoing.is_needed():
            self._left = asyncio.Event()
            await self._left.wait()

    async def dismiss(self, end: EndFrame) -> None:
        """Serve nobody any more; tell those who follow so, once."""
        await self.aclose()
        if (dismissal := self._outgoing.dismissal(end)) is not None:
            try:
                await self._pubsub.publish(*dismissal)
            except BackendError as error:
                # They will find the end, or another generation, where it is recorded.
                logger.debug("stream %r: could not dismiss: %s", self._outgoing.stream_id, error)

    async def aclose(self) -> None:
        """Stop at once. Idempotent."""
        self._stopped = True
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait({task})
        await self._outgoing.aclose()

    async def _run(self) -> None:
        try:
            while self._outgoing.is_needed():
                await self._until_due()
                if self._backoff is None:  # else nobody could have been heard
                    self._outgoing.expire()
                await self._send()
                self._tell_who_left()
        except Exception:
            logger.exception("stream %r: serving its listeners failed", self._outgoing.stream_id)
        finally:
            self._task = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._tell_who_left()

    def _tell_who_left(self) -> None:
        if self._left is not None:
            self._left.set()

    async def _until_due(self) -> None:
        now = self._loop.time()
        due = self._outgoing.due_at(now)
        if due <= now:
            return
        # A timer may go off a little early, and would at once again.
        due = max(due, now + _LEAST_WAIT)
        self._waiter, pacer = self._loop.create_future(), None
        if due <= now + PACE:
            # What comes meanwhile goes out with what is there.
            pacer = self._loop.call_at(due, self.wake)
        else:
            self._outgoing.log.watch(self._waiter)
            if self._timer is None:  # else it goes off in time, and is then set again
                self._timer = self._loop.call_at(due, self._tick)
        try:
            await self._waiter
        finally:
            if pacer is not None:
                pacer.cancel()
            self._outgoing.log.unwatch(self._waiter)
            self._waiter = None

    def _tick(self) -> None:
        self._timer = None
        self.wake()

    async def _send(self) -> None:
        batch = self._outgoing.take(self._loop.time())
        if not batch:
            self._outgoing.sent()
            await asyncio.sleep(0)
            return
        try:
            await self._pubsub.publish_many(batch)
        except BackendError as error:
            denied = isinstance(error, AccessDeniedError) and self._backoff is None
            level = logging.WARNING if denied else logging.DEBUG
            logger.log(level, "stream %r: publishing failed: %s", self._outgoing.stream_id, error)
            self._outgoing.failed(unsent=isinstance(error, BackendUnavailableError))
            self._backoff = self._backoff or Backoff(_FIRST_PAUSE)
            await asyncio.sleep(self._backoff.next())
        else:
            self._outgoing.sent()
            if self._backoff is not None:
                self._backoff = None
                self._outgoing.resync()
