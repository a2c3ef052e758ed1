"""The lease of a running producer: renewed in time, and given up when it is another's."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from resumable_stream._backoff import Backoff
from resumable_stream._options import staggered
from resumable_stream._producing.claim import SupersededError
from resumable_stream._text.endings import Ending, Status
from resumable_stream.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream._producing.claim import Claim
    from resumable_stream._shared import Shared

logger = logging.getLogger("resumable_stream")

_FIRST_PAUSE = 0.1


class Lease:
    """Renews a claim, in a task, until it is superseded or ``end`` is called.

    Args:
        on_lapsed: called when a claim that might have run out is held again.
        on_gone: called when the claim is kept no longer, with how its stream ends if it runs.
    """

    __slots__ = (
        "_claim",
        "_due",
        "_on_gone",
        "_on_lapsed",
        "_options",
        "_renewal",
        "_stream_id",
        "_task",
        "_tick",
        "_ticks",
    )

    def __init__(
        self,
        stream_id: str,
        claim: Claim,
        shared: Shared,
        *,
        on_lapsed: Callable[[], object],
        on_gone: Callable[[Ending], object],
    ) -> None:
        self._stream_id = stream_id
        self._claim = claim
        self._options = shared.options
        self._ticks = shared.ticks
        self._on_lapsed = on_lapsed
        self._on_gone = on_gone
        self._task: asyncio.Task[None] | None = None
        # A future, of which an idle stream has few: an event takes a kilobyte.
        self._renewal: asyncio.Future[None] | None = None
        self._due = False
        self._tick = 0

    def begin(self) -> None:
        """Keep the claim from now on."""
        self._task = asyncio.get_running_loop().create_task(
            self._keep(), name=f"resumable-stream producer {self._stream_id!r} lease"
        )
        self._task.add_done_callback(self._is_over)

    async def end(self) -> None:
        """Keep the claim no longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def renew_now(self) -> None:
        """Renew without waiting for the time: the broker may have lost the sentinel."""
        self._ticks.cancel(self._tick, self._renew)
        self._renew()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        # If claiming took longer than the lease, renew at once.
        wait = self._options.renew_interval * staggered(self._claim.generation)
        wait = wait if self._claim.held else 0
        backoff = Backoff(_FIRST_PAUSE)
        while True:
            if not self._due:
                self._renewal = loop.create_future()
                # Renewals that fall due at about the same time share a message.
                self._tick = self._ticks.call_later(wait, self._renew)
                try:
                    await self._renewal
                except asyncio.CancelledError:
                    self._ticks.cancel(self._tick, self._renew)
                    raise
            self._due = False
            try:
                if await self._claim.renew():
                    self._on_lapsed()
                wait = self._options.renew_interval
                backoff.reset()
            except SupersededError:
                logger.warning(
                    "stream %r: generation %d was superseded",
                    self._stream_id,
                    self._claim.generation,
                )
                self._on_gone(Ending(Status.SUPERSEDED))
                return
            except BackendError as error:
                wait = backoff.next()
                logger.debug("stream %r: lease not renewed: %s", self._stream_id, error)

    def _is_over(self, task: asyncio.Task[None]) -> None:
        """End the stream: without a lease there is none, though the source could go on."""
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("stream %r: keeping its lease failed", self._stream_id, exc_info=error)
        self._on_gone(Ending(Status.LOST))

    def _renew(self) -> None:
        self._due = True
        if self._renewal is not None and not self._renewal.done():
            self._renewal.set_result(None)
