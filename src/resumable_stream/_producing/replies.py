"""The answers that a producer owes: cut from the log, a piece of each in turn."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from resumable_stream._producing.pieces import cut, piece_size, place_of
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.wire import DataFrame, Refusal, RefusalFrame
from resumable_stream._text.log import InsidePairError, Position, TrimmedError
from resumable_stream._text.utf8 import encode_text

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    __slots__ = ("_generation", "_log", "_owed", "_unit")

    def __init__(self, generation: int, log: Log, unit: OffsetUnit) -> None:
        self._generation = generation
        self._log = log
        self._unit = unit
        self._owed: OrderedDict[str, Reply] = OrderedDict()

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

    def drop(self, listener: str) -> None:
        self._owed.pop(listener, None)

    def pieces(self, max_message_size: int) -> Iterator[tuple[str, DataFrame | RefusalFrame]]:
        """Take the pieces to send next; what is not drawn from this stays owed.

        It ends after the first pieces of newcomers, who are not kept waiting while more is cut.
        """
        newcomers = False
        while self._owed:
            listener, reply = self._owed.popitem(last=False)
            if newcomers and not reply.first:
                self._owed[listener] = reply
                self._owed.move_to_end(listener, last=False)
                return
            newcomers = reply.first
            yield listener, self._next(listener, reply, piece_size(listener, max_message_size))

    def _next(self, listener: str, reply: Reply, room: int) -> DataFrame | RefusalFrame:
        """Cut the next piece of a reply; owe the rest."""
        if reply.place.sequence < self._log.first:
            return self._refusal(Refusal.TRIMMED, self._log.start_offset(self._unit))
        room = min(room, reply.window, _FIRST_PIECE if reply.first else room)
        piece = cut(self._log, reply.place, room)
        window = max(0, reply.window - len(piece.joined.data))
        last = piece.after.sequence == self._log.end or not window or not piece.joined.number
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
