"""The answers that a producer owes: cut from the log, a piece of each in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from resumable_stream._producing.pieces import cut, place_of
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.wire import DataFrame, Refusal, RefusalFrame
from resumable_stream._text.log import InsidePairError, Position, TrimmedError
from resumable_stream._text.utf8 import encode_text

if TYPE_CHECKING:
    from resumable_stream._protocol.wire import Request
    from resumable_stream._text.log import Log
    from resumable_stream._text.offsets import OffsetUnit

# A newcomer's first piece is small, so that the reader has something soon.
_FIRST_PIECE = 16 * 1024


class Reply(NamedTuple):
    """What is still owed to one request."""

    place: Place
    window: int
    offset: int | None
    first: bool
    """The listener has had nothing yet."""


class Replies:
    """What is owed to each listener's latest request, in order."""

    __slots__ = ("_generation", "_log", "_newcomers", "_owed", "_unit")

    def __init__(self, generation: int, log: Log, unit: OffsetUnit) -> None:
        self._generation = generation
        self._log = log
        self._unit = unit
        self._owed: dict[str, Reply] = {}  # the next one first
        self._newcomers: dict[str, None] = {}  # those among them that have had nothing yet

    def __len__(self) -> int:
        return len(self._owed)

    def answer(self, request: Request, *, first: bool) -> Reply | RefusalFrame:
        """Find what a request asks for; ``first`` says that the listener has had nothing yet."""
        place, offset = request.place, None
        if place is None:
            try:
                position = self._log.locate(request.skip, request.unit)
            except TrimmedError as error:
                return self._refusal(Refusal.TRIMMED, error.start)
            except InsidePairError:
                return self._refusal(Refusal.INSIDE_PAIR)
            # Beyond the present end, begin there: the listener drops what it does not want.
            position = position or Position(self._log.end)
            place = place_of(self._log, position)
            offset = self._log.offset(position, request.unit)
        elif place.sequence < self._log.first:
            return self._refusal(Refusal.TRIMMED, self._log.start_offset(request.unit))
        elif place > Place(self._log.end) or not self._is_in_its_chunk(place):
            return self._refusal(Refusal.UNKNOWN_PLACE)
        elif not place.byte:
            offset = self._log.offset(Position(place.sequence), request.unit)
        return Reply(place, request.window, offset, first)

    def owe(self, listener: str, reply: Reply) -> None:
        self._owed[listener] = reply
        if reply.first:
            self._newcomers[listener] = None

    def drop(self, listener: str) -> None:
        self._owed.pop(listener, None)
        self._newcomers.pop(listener, None)

    def newcomers(self) -> list[str]:
        """Return the listeners that have had nothing yet."""
        return list(self._newcomers)

    def longest_waiting(self) -> str:
        """Return the listener whose turn it is; there is one."""
        return next(iter(self._owed))

    def next_piece(self, listener: str, room: int) -> DataFrame | RefusalFrame:
        """Take a piece of what the listener is owed; what is left of it comes after all others."""
        self._newcomers.pop(listener, None)
        return self._next(listener, self._owed.pop(listener), room)

    def _next(self, listener: str, reply: Reply, room: int) -> DataFrame | RefusalFrame:
        """Cut the next piece of a reply; owe the rest."""
        if reply.place.sequence < self._log.first:
            return self._refusal(Refusal.TRIMMED, self._log.start_offset(self._unit))
        room = min(room, reply.window, _FIRST_PIECE if reply.first else room)
        piece = cut(self._log, reply.place, room)
        window = max(0, reply.window - len(piece.joined.data))
        # No chunk fits what is left of a window that limits the piece.
        filled = not window or (room == reply.window and not piece.partial)
        last = piece.after.sequence == self._log.end or filled or not piece.joined.number
        if not last:
            self._owed[listener] = Reply(piece.after, window, None, first=False)
        return DataFrame(
            self._generation,
            reply.place,
            piece.joined,
            partial=piece.partial,
            end=self._log.end,
            last=last,
            offset=reply.offset,
        )

    def _is_in_its_chunk(self, place: Place) -> bool:
        return not place.byte or place.byte <= len(encode_text(self._log.chunk(place.sequence)))

    def _refusal(self, refusal: Refusal, start: int = 0) -> RefusalFrame:
        return RefusalFrame(self._generation, refusal, start)
