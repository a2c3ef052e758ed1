"""One stream's place at the publisher of its instance: open while somebody listens."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from resumable_stream._backoff import Backoff
from resumable_stream.errors import AccessDeniedError, BackendError, BackendUnavailableError

if TYPE_CHECKING:
    from resumable_stream._producing.outgoing import Outgoing
    from resumable_stream._producing.publisher import Publisher
    from resumable_stream._protocol.wire import EndFrame
    from resumable_stream._shared import Shared

logger = logging.getLogger("resumable_stream")

_FIRST_PAUSE = 0.1
# A timer may go off a little early, and would at once again.
_LEAST_WAIT = 0.001


class Outlet:
    """Brings what one stream has to send to the publisher, and waits until it is sent.

    Attributes:
        outgoing: what the stream has to send.
        apart: its messages were refused: it may not share a batch until some are taken.
    """

    __slots__ = (
        "_backoff",
        "_left",
        "_open",
        "_paused",
        "_publisher",
        "_shared",
        "_stopped",
        "_tick",
        "apart",
        "outgoing",
    )

    def __init__(self, outgoing: Outgoing, publisher: Publisher, shared: Shared) -> None:
        self.outgoing = outgoing
        self.apart = False
        self._publisher = publisher
        self._shared = shared
        self._open = False
        self._stopped = False
        self._tick: int | None = None
        self._paused = False  # until the tick
        self._backoff: Backoff | None = None  # while it is apart
        self._left: asyncio.Future[None] | None = None  # while somebody waits for the listeners

    def wake(self) -> None:
        """Look for something to send, if anybody listens."""
        if self._stopped:
            return
        if not self._open:
            if not self.outgoing.is_needed():
                return
            self._open = True
            self.outgoing.log.on_news = self._mark
            self._publisher.open(self)
        self._mark()

    async def farewell(self) -> None:
        """Wait until every listener has got the end, or is gone, or no longer reads."""
        self.outgoing.linger()
        while self._open:
            if self._left is None or self._left.done():
                self._left = asyncio.get_running_loop().create_future()
            await self._left

    async def dismiss(self, end: EndFrame) -> None:
        """Serve nobody any more; tell those who follow so, once."""
        await self.aclose()
        if (dismissal := self.outgoing.dismissal(end)) is not None:
            try:
                await self._shared.backend.publish(*dismissal)
            except BackendError as error:
                # They will find the end, or another generation, where it is recorded.
                logger.debug("stream %r: could not dismiss: %s", self.outgoing.stream_id, error)

    async def aclose(self) -> None:
        """Send nothing more. Idempotent."""
        self._stopped = True
        self._close()
        await self._publisher.rest()
        await self.outgoing.aclose()

    # For the publisher

    def expire(self, now: float) -> None:
        """Give listeners up that were silent for too long."""
        if not self.apart:  # else they could not have heard of the stream
            self.outgoing.expire(now)

    def sent(self, *, heard: bool) -> None:
        """Note that what was taken has been sent, or that there was nothing."""
        self.outgoing.sent()
        if heard and self.apart:
            self.apart, self._backoff = False, None
            self.outgoing.resync()

    def failed(self, error: BackendError) -> None:
        """Note that what was taken was not sent, or that nobody knows."""
        denied = isinstance(error, AccessDeniedError) and not self.apart
        level = logging.WARNING if denied else logging.DEBUG
        logger.log(level, "stream %r: publishing failed: %s", self.outgoing.stream_id, error)
        self.outgoing.failed(unsent=isinstance(error, BackendUnavailableError))

    def pause(self) -> None:
        """Try again later, apart from all others."""
        if self._open:
            self._backoff = self._backoff or Backoff(_FIRST_PAUSE)
            self.apart = self._paused = True
            self._look_in(self._backoff.next())

    def look_again(self) -> None:
        """Close if nobody listens any more; else see that a heartbeat goes out in time."""
        if not self._open:
            return
        if not self.outgoing.is_needed():
            self._close()
        elif self._tick is None:
            self._look_in(self.outgoing.heartbeat_due_in())

    def _mark(self) -> None:
        if not self._paused:
            self._publisher.mark(self)

    def _look_in(self, wait: float) -> None:
        self._cancel_tick()
        self._tick = self._shared.ticks.call_later(max(wait, _LEAST_WAIT), self._look)

    def _look(self) -> None:
        self._tick = None
        self._paused = False
        self._mark()

    def _cancel_tick(self) -> None:
        if self._tick is not None:
            self._shared.ticks.cancel(self._tick, self._look)
            self._tick = None

    def _close(self) -> None:
        if self._open:
            self._open = False
            self.outgoing.log.on_news = None
            self._cancel_tick()
            self._publisher.close(self)
            if self._left is not None and not self._left.done():
                self._left.set_result(None)
