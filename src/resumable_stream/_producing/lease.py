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
    """Renews a claim, until it is superseded or ``end`` is called.

    Between two renewals it has no task, only an entry in the instance's ``Ticks``. The leases that
    fall due in one tick are renewed together by the instance's ``Renewer``. A lease that was not
    renewed there, for whatever reason, is renewed alone, in a task of its own; so is one that
    failed before.

    Args:
        on_lapsed: called when a claim that might have run out is held again.
        on_gone: called when the claim is kept no longer, with how its stream ends if it runs.

    Attributes:
        superseded: somebody else has the claim.
    """

    __slots__ = (
        "_backoff",
        "_claim",
        "_on_gone",
        "_on_lapsed",
        "_over",
        "_renewal",
        "_shared",
        "_stream_id",
        "_tick",
        "_urgent",
        "superseded",
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
        self._shared = shared
        self._on_lapsed = on_lapsed
        self._on_gone = on_gone
        self._tick: int | None = None  # while it waits for the time of the next renewal
        self._renewal: asyncio.Task[bool] | None = None  # while one is under way
        self._urgent = False
        self._backoff: Backoff | None = None  # while renewing fails
        self._over = False
        self.superseded = False

    def begin(self) -> None:
        """Keep the claim from now on."""
        # If claiming took longer than the lease, renew at once.
        wait = self._shared.options.renew_interval * staggered(self._claim.generation)
        self._renew_in(wait if self._claim.held else 0)

    async def end(self) -> None:
        """Keep the claim no longer. Idempotent.

        A renewal together with others may still be under way. It writes only over this claim's
        value, what is there already: once the end is recorded, or another holds the stream, it
        changes nothing.
        """
        self._over = True
        self._stop_waiting()
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait({self._renewal})

    def renew_now(self) -> None:
        """Renew without waiting for the time: the broker may have lost the sentinel."""
        # A renewal under way may have come too early, so another one follows it.
        self._urgent = True
        if self._tick is not None:
            self._stop_waiting()
            self._renew()

    def _renew_in(self, wait: float) -> None:
        if self._urgent:
            self._renew()
        else:
            self._tick = self._shared.ticks.call_later(wait, self._renew)

    def _stop_waiting(self) -> None:
        if self._tick is not None:
            self._shared.ticks.cancel(self._tick, self._renew)
            self._tick = None

    def _renew(self) -> None:
        self._tick = None
        self._urgent = False
        if self._backoff is None:
            self._shared.renewer.renew(*self._claim.entry, self._tried_together)
        else:
            self._renew_alone()

    def _tried_together(self, sent: float | None) -> None:
        if self._over:
            return
        if sent is None:
            self._renew_alone()
        else:
            self._hold_on(lapsed=self._claim.renewed(sent))

    def _renew_alone(self) -> None:
        self._renewal = asyncio.get_running_loop().create_task(
            self._claim.renew(), name=f"resumable-stream producer {self._stream_id!r} lease"
        )
        self._renewal.add_done_callback(self._renewed)

    def _renewed(self, renewal: asyncio.Task[bool]) -> None:
        """Wait for the next renewal, or end the stream: it must not go on without its lease."""
        self._renewal = None
        error = None if renewal.cancelled() else renewal.exception()
        if self._over:
            return
        if isinstance(error, BackendError):
            logger.debug("stream %r: lease not renewed: %s", self._stream_id, error)
            self._backoff = self._backoff or Backoff(_FIRST_PAUSE)
            self._renew_in(self._backoff.next())
        elif error is not None or renewal.cancelled():
            self._over = True
            self._on_gone(self._ending_for(error))
        else:
            self._hold_on(lapsed=renewal.result())

    def _hold_on(self, *, lapsed: bool) -> None:
        self._backoff = None
        self._renew_in(self._shared.options.renew_interval)
        if lapsed:
            self._on_lapsed()

    def _ending_for(self, error: BaseException | None) -> Ending:
        if isinstance(error, SupersededError):
            generation = self._claim.generation
            logger.warning("stream %r: generation %d was superseded", self._stream_id, generation)
            self.superseded = True
            return Ending(Status.SUPERSEDED)
        if error is not None:
            logger.error("stream %r: keeping its lease failed", self._stream_id, exc_info=error)
        return Ending(Status.LOST)
