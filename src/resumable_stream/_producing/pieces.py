"""Cut what a log holds into pieces that fit one message."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from resumable_stream._protocol.places import Place
from resumable_stream._protocol.wire import HEADER_ROOM, frame_prefix
from resumable_stream._text.utf8 import encode_text

if TYPE_CHECKING:
    from array import array

    from resumable_stream._text.log import Log, Position

# Larger messages gain nothing and hold the event loop, the connection and other readers up.
MAX_PIECE = 256 * 1024


def piece_size(channel_id: str, max_message_size: int) -> int:
    """Return how many bytes of lengths and text fit a frame on the channel."""
    return min(MAX_PIECE, max_message_size - HEADER_ROOM - len(frame_prefix(channel_id)))


def place_of(log: Log, position: Position) -> Place:
    """Name a position as the wire does."""
    if not position.index:
        return Place(position.sequence)
    head = log.chunk(position.sequence)[: position.index]
    return Place(position.sequence, len(encode_text(head)))


class Piece(NamedTuple):
    """Some of a log's text, as a frame carries it, and the place that follows."""

    lengths: list[int]
    payload: bytes
    partial: bool
    after: Place


def cut(log: Log, place: Place, size: int) -> Piece:
    """Return up to ``size`` bytes from ``place`` on, their lengths in the header included.

    The piece is empty if ``size`` has no room for any. The place is not trimmed away.
    """
    sequence, byte = place
    # Live text is in no block yet, and mostly fits.
    if not byte and (tail := log.tail(sequence)):
        data, lengths = tail
        if len(data) + len(lengths) * _cost(max(lengths, default=0)) <= size:
            return Piece(lengths, data, False, Place(sequence + len(lengths)))
    lengths = []
    slices: list[memoryview] = []
    end = log.end
    while sequence < end:
        data, ends, at = log.encoded(sequence)
        start = (ends[at - 1] if at else 0) + byte
        until = _most(ends, at, start, size)
        if until == at:
            room = size - len(str(size)) - 1
            if lengths or room <= 0:
                break
            return Piece([room], data[start : start + room], True, Place(sequence, byte + room))
        if until == at + 1:
            fitting = [ends[at] - start]
        else:
            fitting = [end - begin for begin, end in pairwise((start, *ends[at:until]))]
        lengths += fitting
        slices.append(memoryview(data)[start : ends[until - 1]])
        size -= ends[until - 1] - start + len(fitting) * _cost(max(fitting))
        sequence, byte = sequence + len(fitting), 0
        if until < len(ends):
            break
    return Piece(lengths, b"".join(slices), False, Place(sequence, byte))


def _most(ends: array[int], at: int, start: int, size: int) -> int:
    """Return the index after the last chunk that certainly fits, or ``at`` if none does."""
    each = _cost(ends[-1] - start)  # no length has more digits
    if ends[-1] - start + (len(ends) - at) * each <= size:
        return len(ends)
    first = ends[at] - start
    if first + _cost(first) > size:
        return at
    following = range(at + 1, len(ends))
    return (
        at + 1 + bisect_right(following, size, key=lambda k: ends[k] - start + (k + 1 - at) * each)
    )


def _cost(length: int) -> int:
    """Return how many bytes a length takes in the header, with its comma."""
    return len(str(length)) + 1
