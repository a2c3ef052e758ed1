"""The one task of an instance that sends: what all its streams have due, batch after batch."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from resumable_stream._backoff import Backoff
from resumable_stream.errors import AccessDeniedError, BackendError, MessageTooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from resumable_stream._producing.outgoing import Batch
    from resumable_stream._producing.outlet import Outlet
    from resumable_stream._shared import Shared

logger = logging.getLogger("resumable_stream")

# What is handed to the broker at a time; between batches the event loop runs.
_BATCH_BYTES = 512 * 1024
_FIRST_PAUSE = 0.1

# Failures that may be due to one stream's channels or messages.
_OWN_FAILURES = (AccessDeniedError, MessageTooLargeError)


class Publisher:
    """Sends for all streams of an instance; idle and without a task while nobody listens.

    A stream that may have something to send is marked. Each turn takes the news of all marked
    streams, and then a piece for each listener that is owed an answer, as far as a batch has room;
    what it does not take comes first in the next turn. So a long answer holds up nobody's news.
    While a batch is on its way the next one gathers: the more streams, the fewer batches for each.

    An outage concerns all: they wait for one attempt together. A stream whose messages are refused
    is served apart until they are taken, and holds up nobody.
    """

    __slots__ = (
        "_backoff",
        "_cut",
        "_loop",
        "_marked",
        "_open",
        "_shared",
        "_task",
        "_unheard",
        "_waiter",
    )

    def __init__(self, shared: Shared) -> None:
        self._loop = asyncio.get_running_loop()
        self._shared = shared
        self._open: dict[Outlet, None] = {}
        self._marked: dict[Outlet, None] = {}  # the next one first
        self._unheard: dict[Outlet, None] = {}  # those that an outage has cost messages
        self._backoff: Backoff | None = None  # during an outage
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None  # while the task waits
        self._cut = False  # somebody else has cancelled the task

    def open(self, outlet: Outlet) -> None:
        """Serve a stream from now on, whenever it is marked."""
        self._open[outlet] = None

    def mark(self, outlet: Outlet) -> None:
        """Look what the open stream has to send."""
        self._marked[outlet] = None
        if self._waiter is not None:
            if not self._waiter.done():
                self._waiter.set_result(None)
        elif self._task is None:
            self._begin()

    def close(self, outlet: Outlet) -> None:
        """Serve the stream no longer. Idempotent."""
        for some in (self._open, self._marked, self._unheard):
            some.pop(outlet, None)

    async def rest(self) -> None:
        """End the task, if there is nobody left to serve."""
        if not self._open and (task := self._task) is not None:
            self._task = self._waiter = None
            task.cancel()
            await asyncio.wait({task})

    def _begin(self) -> None:
        if self._cut and self._shared.background.is_ending():
            return
        self._task = self._loop.create_task(self._run(), name="resumable-stream publisher")
        self._task.add_done_callback(self._is_over)

    def _is_over(self, task: asyncio.Task[None]) -> None:
        if task is not self._task:
            return  # ``rest`` has ended it
        self._task = self._waiter = None
        self._cut = task.cancelled()
        self._marked |= self._open  # what was on its way may be lost
        if self._open:
            self._begin()

    async def _run(self) -> None:
        while self._open:
            await self._until_marked()
            marked, self._marked = self._marked, {}
            for outlets in self._parted(marked):
                try:
                    await self._serve(outlets)
                except Exception:
                    # They are looked at again with their news, or when a heartbeat is due.
                    logger.exception("serving remote listeners failed")
                for outlet in outlets:
                    outlet.look_again()

    def _parted(self, marked: Iterable[Outlet]) -> Iterator[list[Outlet]]:
        """Divide the marked streams into those that are served together."""
        if together := [outlet for outlet in marked if not outlet.apart]:
            yield together
        for outlet in marked:
            if outlet.apart and outlet in self._open:
                yield [outlet]

    async def _until_marked(self) -> None:
        while not self._marked:
            waiter = self._waiter = self._loop.create_future()
            try:
                await waiter
            finally:
                if self._waiter is waiter:  # else another task waits by now
                    self._waiter = None

    async def _serve(self, outlets: Sequence[Outlet]) -> None:
        """Send what some streams have due as one batch."""
        now = self._loop.time()
        if self._backoff is None:  # else nobody could have been heard
            for outlet in outlets:
                outlet.expire(now)
        batch = self._fill(outlets, now)
        try:
            if batch:
                await self._shared.backend.publish_many(batch)
            else:
                await asyncio.sleep(0)
        except BackendError as error:
            await self._failed(outlets, error)
        except asyncio.CancelledError:
            for outlet in outlets:
                outlet.outgoing.failed(unsent=False)
            raise
        else:
            self._sent(outlets, heard=bool(batch))

    def _fill(self, outlets: Sequence[Outlet], now: float) -> Batch:
        batch: Batch = []
        owing: deque[Outlet] = deque()
        size = 0
        for outlet in outlets:
            if size < _BATCH_BYTES:
                size += outlet.outgoing.take_news(batch, now)
            else:
                self._marked[outlet] = None
            if outlet.outgoing.owes_answers:
                owing.append(outlet)
        newcomers = 0
        for outlet in owing:
            newcomers += outlet.outgoing.answer_newcomers(batch)
        # Newcomers are not kept waiting while more is cut.
        while owing and not newcomers:
            outlet = owing.popleft()
            size += outlet.outgoing.answer_next(batch)
            if size >= _BATCH_BYTES:
                break
            if outlet.outgoing.owes_answers:
                owing.append(outlet)
        for outlet in outlets:
            if outlet.outgoing.has_more():
                self._marked[outlet] = None
        return batch

    def _sent(self, outlets: Sequence[Outlet], *, heard: bool) -> None:
        for outlet in outlets:
            outlet.sent(heard=heard)
        if heard and self._backoff is not None:
            self._backoff = None
            unheard, self._unheard = self._unheard, {}
            for outlet in unheard:
                outlet.outgoing.resync()

    async def _failed(self, outlets: Sequence[Outlet], error: BackendError) -> None:
        for outlet in outlets:
            outlet.failed(error)
        if isinstance(error, _OWN_FAILURES):
            for outlet in outlets:
                outlet.pause()
            return
        self._unheard |= dict.fromkeys(outlets)
        self._backoff = self._backoff or Backoff(_FIRST_PAUSE)
        await asyncio.sleep(self._backoff.next())
        for outlet in outlets:
            outlet.wake()
