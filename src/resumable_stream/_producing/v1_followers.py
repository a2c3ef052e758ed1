"""The TypeScript listeners of one stream: served in turns, each from a cursor of its own."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import TYPE_CHECKING

from resumable_stream._producing.v1_cursor import V1Cursor
from resumable_stream._producing.v1_presence import Presence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from resumable_stream._producing.v1_audience import V1Audience
    from resumable_stream._producing.v1_cursor import State
    from resumable_stream._shared import Shared
    from resumable_stream._text.log import Log

logger = logging.getLogger("resumable_stream")

# Each chunk takes a message for each listener: with more of them, a source is not kept up with.
MAX_OF_STREAM = 1024

# How many bytes one batch carries for them; each message counts for its cost, too. The rest waits
# until other streams have had their turn.
_SHARE = 128 * 1024
_MESSAGE_COST = 512


class V1Followers:
    """The listeners that have asked in version 1, each until it has got the end or is given up.

    Args:
        on_look: called when the broker has told who is there.
    """

    # Every stream has one of these, and few streams have TypeScript listeners.
    __slots__ = (
        "_admitted",
        "_audience",
        "_closed",
        "_ended",
        "_log",
        "_on_look",
        "_presence",
        "_refused",
        "_sending",
        "_served",
        "_shared",
        "_stream_id",
    )

    def __init__(
        self,
        stream_id: str,
        log: Log,
        shared: Shared,
        audience: V1Audience,
        on_look: Callable[[], None],
    ) -> None:
        self._stream_id = stream_id
        self._log = log
        self._shared = shared
        self._audience = audience
        self._on_look = on_look
        self._served: OrderedDict[str, V1Cursor] = OrderedDict()  # the next one first
        self._sending: list[tuple[str, V1Cursor, State]] = []
        self._admitted = 0
        self._refused = False
        self._presence: Presence | None = None
        self._ended = False
        self._closed = False

    def __bool__(self) -> bool:
        return bool(self._served or self._presence)

    @property
    def served(self) -> Iterable[str]:
        return self._served.keys()

    def enrol(self, listener: str, skip: int) -> None:
        """Take in a request: serve the listener once it is there, if the broker can tell."""
        if self._closed:
            return
        if listener in self._served:
            if (cursor := V1Cursor.at(self._log, skip)) is not None:
                self._served[listener] = cursor
        elif self._audience.can_be_seen:
            if self._presence is None:
                self._presence = Presence(
                    self._stream_id,
                    self._shared,
                    self._audience,
                    self,
                    self._on_look,
                )
                if self._ended:
                    self._presence.end()
            self._presence.expect(listener, skip)
        else:
            self.admit(listener, skip)

    def admit(self, listener: str, skip: int) -> None:
        """Serve a listener from now on, unless there are too many or its text is trimmed away."""
        if (cursor := V1Cursor.at(self._log, skip)) is None:
            return
        if self._admitted < MAX_OF_STREAM and self._audience.admit():
            self._admitted += 1
            self.resume(listener, cursor)
        elif not self._refused:
            # A newcomer learns that it is refused; a reader would take silence for the end.
            self._refused = True
            logger.warning(
                "stream %r: has %d TypeScript listeners, and refuses more",
                self._stream_id,
                self._admitted,
            )

    def resume(self, listener: str, cursor: V1Cursor) -> None:
        self._served[listener] = cursor
        # A peer gives up if its first answer takes longer than a second.
        self._served.move_to_end(listener, last=False)

    def pause(self, listener: str) -> V1Cursor | None:
        """Send the listener nothing until it is resumed or released; None if it is not served."""
        return self._served.pop(listener, None)

    def release(self) -> None:
        """Make room for another."""
        self._admitted -= 1
        self._audience.dismiss(1)

    def doubt(self) -> None:
        """Assume that everybody is there: the broker is in trouble."""
        if self._presence is not None:
            self._presence.doubt()

    def end(self) -> None:
        """Tell the end from now on, and wait for nobody who is not there."""
        self._ended = True
        if self._presence is not None:
            self._presence.end()

    async def aclose(self) -> None:
        """Give all of them up, and take no more in. Idempotent."""
        self._closed = True
        if self._presence is not None:
            await self._presence.aclose()
        self._served.clear()
        self._audience.dismiss(self._admitted)
        self._admitted = 0

    def has_news(self) -> bool:
        log, ended = self._log, self._ended
        return any(cursor.has_news(log, ended=ended) for cursor in self._served.values())

    def take(self, limit: int) -> list[tuple[str, bytes]]:
        """Return their share of the next batch; ``sent`` or ``failed`` tells what became of it.

        Args:
            limit: how many bytes a message may have.
        """
        batch: list[tuple[str, bytes]] = []
        room = _SHARE
        for _ in range(len(self._served)):
            listener, cursor = next(iter(self._served.items()))
            self._served.move_to_end(listener)
            if not cursor.has_news(self._log, ended=self._ended):
                continue
            self._sending.append((listener, cursor, cursor.save()))
            channel = self._shared.names.chunk(listener)
            for message in cursor.messages(self._log, limit, ended=self._ended):
                batch.append((channel, message))
                room -= len(message) + _MESSAGE_COST
            if room <= 0:
                break
        return batch

    def sent(self) -> None:
        """Note that what was taken has been sent."""
        sending, self._sending = self._sending, []
        for listener, cursor, _ in sending:
            if cursor.ended and self._served.get(listener) is cursor:
                del self._served[listener]
                self.release()

    def failed(self, *, unsent: bool) -> None:
        """Note that what was taken was not sent, or that nobody knows."""
        for _, cursor, state in self._sending:
            cursor.failed(state, unsent=unsent)
        self.sent()
        self.doubt()
