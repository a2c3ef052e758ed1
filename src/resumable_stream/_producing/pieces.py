"""Cut what a log holds into pieces that fit one message."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, chain
from typing import TYPE_CHECKING, NamedTuple

from resumable_stream._protocol.joined_fields import MAX_PARTS
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.wire import HEADER_ROOM, frame_prefix
from resumable_stream._text.joined import Joined
from resumable_stream._text.utf8 import encode_text

if TYPE_CHECKING:
    from resumable_stream._text.blocks import Block
    from resumable_stream._text.log import Log, Position

# Larger messages gain nothing and hold the event loop, the connection and other readers up.
MAX_PIECE = 256 * 1024


def piece_size(channel_id: str, max_message_size: int) -> int:
    """Return how many bytes of text, and of its lengths, fit a frame on the channel."""
    return min(MAX_PIECE, max_message_size - HEADER_ROOM - len(frame_prefix(channel_id)))


def place_of(log: Log, position: Position) -> Place:
    """Name a position as the wire does."""
    if not position.index:
        return Place(position.sequence)
    head = log.chunk(position.sequence)[: position.index]
    return Place(position.sequence, len(encode_text(head)))


class Piece(NamedTuple):
    """Some of a log's text, as a frame carries it, and the place that follows."""

    joined: Joined
    partial: bool
    after: Place


def cut(log: Log, place: Place, size: int) -> Piece:
    """Return up to ``size`` bytes from ``place`` on, with any lengths in the header.

    The piece is empty if ``size`` has no room for any. The place is not trimmed away.
    """
    sequence, byte = place
    if size <= 0:
        return Piece(Joined(), False, place)
    if (rest := _rest(log, place, size)) is not None:
        return rest
    taken: list[Joined] = []
    number, end = 0, log.end
    while sequence < end:
        block = log.block(sequence)
        if taken:
            size -= len(block.joined.separator)
            if (
                block.joined.separator != taken[0].separator
                # A block by itself has about a thousand at most.
                or number + block.joined.number > MAX_PARTS
                # Whole blocks go as they are: to divide one, its chunks must be counted.
                or _cost(block.joined) > size
            ):
                break
        following = _take(block, sequence - block.first, byte, size)
        if not following.number:
            return _part(block, place, size)
        taken.append(following)
        size -= _cost(following)
        number += following.number
        sequence, byte = sequence + following.number, 0
        if sequence < block.end:
            break
    return Piece(_together(taken) if taken else Joined(), False, Place(sequence, byte))


def cut_blocks(log: Log, place: Place, size: int) -> list[Piece]:
    """Return up to ``size`` bytes from ``place`` on, in pieces that are as the log has them.

    Each piece counts with a header. The list is empty if nothing is there. The place is not trimmed
    away.
    """
    pieces: list[Piece] = []
    while place.sequence < log.end:
        if (rest := _rest(log, place, size)) is not None:
            pieces.append(rest)
            break
        block = log.block(place.sequence)
        if pieces and _cost(block.joined) > size:
            break
        at = place.sequence - block.first
        taken = _take(block, at, place.byte, size)
        if taken.number:
            piece = Piece(taken, False, Place(place.sequence + taken.number))
        else:
            piece = _part(block, place, size)
        if not piece.joined.number:
            break
        pieces.append(piece)
        place = piece.after
        size -= _cost(piece.joined) + HEADER_ROOM
        if place.byte or place.sequence < block.end:
            break
    return pieces


def _rest(log: Log, place: Place, size: int) -> Piece | None:
    """Return all that follows, if it is in no block yet, as live text is, and fits."""
    tail = None if place.byte else log.tail(place.sequence)
    if tail is None or _cost(tail) > size:
        return None
    return Piece(tail, False, Place(place.sequence + tail.number))


def _take(block: Block, at: int, byte: int, size: int) -> Joined:
    """Return the chunks that fit, from a byte of the chunk at index ``at`` on, as they are."""
    joined = block.joined
    if not at and not byte and _cost(joined) <= size:
        return joined
    ends, start = block.byte_ends(), block.start(at) + byte
    lengths = joined.lengths[at:]
    if lengths:
        lengths = (lengths[0] - byte, *lengths[1:])
        costs = accumulate(length + _field_cost(length) for length in lengths)
        until = at + bisect_right(list(costs), size)
    else:
        until = bisect_right(ends, start + size, lo=at)
    if until == at:
        return Joined()
    number, data = until - at, joined.data[start : ends[until - 1]]
    return Joined(data, number, joined.separator, lengths[:number])


def _part(block: Block, place: Place, size: int) -> Piece:
    """Return a part of a chunk that does not fit."""
    joined = block.joined
    lengths: tuple[int, ...] = ()
    if not joined.separator:
        size -= _field_cost(size)
        lengths = (size,)
    if size <= 0:
        return Piece(Joined(), False, place)
    sequence, byte = place
    start = block.start(sequence - block.first) + byte
    part = Joined(joined.data[start : start + size], 1, joined.separator, lengths)
    return Piece(part, True, Place(sequence, byte + size))


def _together(pieces: list[Joined]) -> Joined:
    """Join what has one separator, or lengths."""
    if len(pieces) == 1:
        return pieces[0]
    separator = pieces[0].separator
    return Joined(
        separator.encode().join(piece.data for piece in pieces),
        sum(piece.number for piece in pieces),
        separator,
        tuple(chain.from_iterable(piece.lengths for piece in pieces)),
    )


def _cost(joined: Joined) -> int:
    """Return how many bytes the chunks take in a frame."""
    return len(joined.data) + sum(map(_field_cost, joined.lengths))


def _field_cost(length: int) -> int:
    """Return how many bytes a length takes in the header, with its comma."""
    return len(str(length)) + 1
