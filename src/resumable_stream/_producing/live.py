"""The live channel's cursor into the log: what is due on the channel, and when.

It reads no clock and sends nothing: the time is passed in, and frames are handed out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable_stream._producing.pieces import cut
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.wire import DataFrame

if TYPE_CHECKING:
    from resumable_stream._protocol.wire import EndFrame
    from resumable_stream._text.log import Log


class Live:
    """What those who follow a stream live have not been told.

    A channel on which nothing is sent for ``interval`` seconds gets a heartbeat: how far the stream
    is, and after its end, the end again.

    Attributes:
        end: the end frame, once it may be told.
        owes_end: the end may be told, and has not been.
    """

    __slots__ = ("_at", "_generation", "_interval", "_log", "_place", "end", "owes_end")

    def __init__(self, generation: int, log: Log, interval: float) -> None:
        self.end: EndFrame | None = None
        self.owes_end = False
        self._generation = generation
        self._log = log
        self._interval = interval
        self._place = Place(0)
        self._at = 0.0  # when something was sent last

    def begin(self, now: float) -> None:
        """Somebody follows from now on, and nobody did: text before this is not the channel's."""
        self._place = Place(self._log.end)
        self._at = now

    def announce(self, end: EndFrame) -> None:
        """The end may be told."""
        self.end = end
        self.owes_end = True

    def hurry(self) -> None:
        """Make a heartbeat due: some may have missed what was sent."""
        self._at = 0.0

    def fail(self) -> None:
        """What was taken last has perhaps not been sent: of its text, nothing is sent again.

        A heartbeat is due, so that listeners see the gap and ask. The end is told again.
        """
        self.hurry()
        self._place = Place(self._log.end)
        self.owes_end = self.end is not None

    def skip_end(self) -> None:
        """Owe the end to nobody: a listener that comes later gets it with its answer."""
        self.owes_end = False

    @property
    def heartbeat_at(self) -> float:
        """When a heartbeat is due, if nothing is sent before that."""
        return self._at + self._interval

    def has_text(self) -> bool:
        """Tell whether there is text that was not taken."""
        return self._place.sequence < self._log.end

    def next_text(self, now: float, room: int) -> DataFrame | None:
        """Take the next frame of text; None if there is no more.

        Args:
            now: when it is sent.
            room: how many bytes of text fit one frame.
        """
        log = self._log
        end = log.end
        if self._place.sequence < log.first:
            self._place = Place(end)  # trimmed away: listeners learn it when they ask
        if self._place.sequence >= end:
            return None
        place, piece = self._place, cut(log, self._place, room)
        self._place, self._at = piece.after, now
        return DataFrame(
            self._generation,
            place,
            piece.joined,
            partial=piece.partial,
            end=end,
        )

    def next_sign(self, now: float) -> DataFrame | EndFrame | None:
        """Take the end, or a heartbeat, if it is due once the text is taken."""
        is_due = now >= self._at + self._interval
        if not (is_due or self.owes_end):
            return None
        self._at = now
        self.owes_end = False
        if self.end is not None:
            return self.end
        end = self._log.end
        return DataFrame(self._generation, Place(end), end=end)
