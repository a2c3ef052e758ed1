"""Who follows a stream live: enrolled by each request, until they leave or fall silent."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from resumable_stream._options import Options
    from resumable_stream._protocol.places import Place

logger = logging.getLogger("resumable_stream")

# No more listeners than this are enrolled; the others ask again.
MAX_LISTENERS = 65_536


class _Follower(NamedTuple):
    expires: float
    place: Place | None


class Followers:
    """The listeners of one stream that follow it live.

    Attributes:
        look_at: when to call ``expire`` next: twice in a heartbeat interval.
    """

    __slots__ = ("_known", "_options", "_progress_at", "_stream_id", "look_at")

    def __init__(self, stream_id: str, options: Options) -> None:
        self._stream_id = stream_id
        self._options = options
        self._known: dict[str, _Follower] = {}
        self.look_at = 0.0
        self._progress_at = 0.0

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, listener: str) -> bool:
        return listener in self._known

    def enrol(self, listener: str, place: Place | None) -> bool:
        """Enrol the listener, or renew its enrolment; False if there are too many."""
        known = self._known.get(listener)
        if known is None and len(self._known) >= MAX_LISTENERS:
            return False
        if known is None or known.place is None or (place is not None and place > known.place):
            self.progress()
        self._known[listener] = _Follower(self._expiry(), place)
        return True

    def remove(self, listener: str) -> None:
        self._known.pop(listener, None)

    def keep_all(self) -> None:
        """Count the silence of all from now on: their requests may have been lost."""
        expires = self._expiry()
        for listener, follower in self._known.items():
            self._known[listener] = follower._replace(expires=expires)

    def progress(self) -> None:
        """Note that somebody reads."""
        self._progress_at = asyncio.get_running_loop().time()

    def expire(self, now: float, *, ended: bool) -> None:
        """Drop followers that were silent for too long.

        After the end, drop all once none has progressed for ``linger_timeout``.
        """
        self.look_at = now + self._options.heartbeat_interval / 2
        for listener in [k for k, follower in self._known.items() if follower.expires < now]:
            # Usually its instance signs for it, as another listener.
            logger.debug("stream %r: a listener expired", self._stream_id)
            del self._known[listener]
        if self._known and ended and now > self._progress_at + self._options.linger_timeout:
            logger.warning("stream %r: gave up on listeners that do not read", self._stream_id)
            self._known.clear()

    def _expiry(self) -> float:
        # More than a lease, so that an outage is noticed before listeners are given up for it.
        patience = self._options.lease + 2 * self._options.heartbeat_interval
        return asyncio.get_running_loop().time() + patience
