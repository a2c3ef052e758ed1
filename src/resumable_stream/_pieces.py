"""Cut what a log holds into pieces that fit one message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable_stream._wire import HEADER_ROOM, Place, encode_text, frame_prefix

if TYPE_CHECKING:
    from resumable_stream._log import Log, Position

# Larger messages gain nothing and hold the event loop, the connection and other readers up.
MAX_PIECE = 256 * 1024


def piece_size(channel_id: str, max_message_size: int) -> int:
    """How many bytes of lengths and text fit a frame on the channel."""
    return min(MAX_PIECE, max_message_size - HEADER_ROOM - len(frame_prefix(channel_id)))


class Cutter:
    """Reads pieces out of a log; remembers the encoding of a chunk too large for one piece."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._encoded: tuple[int, bytes] = (-1, b"")

    def place_of(self, position: Position) -> Place:
        """Name a position as the wire does."""
        if not position.index:
            return Place(position.sequence)
        head = self._log.chunk(position.sequence)[: position.index]
        return Place(position.sequence, len(encode_text(head)))

    def cut(self, place: Place, size: int) -> tuple[tuple[bytes, ...], bool, Place]:
        """Return up to ``size`` bytes from ``place`` on.

        As ``(parts, partial, after)``: the chunks, whether the last one goes on, and the place that
        follows; no parts if ``size`` has no room for any. The place is not before the log's first.
        """
        parts: list[bytes] = []
        sequence, byte = place.sequence, place.byte
        while sequence < self._log.end:
            part = self._data(sequence)[byte:] if byte else self._data(sequence)
            cost = len(part) + len(str(len(part))) + 1
            if cost <= size:
                parts.append(part)
                size -= cost
                sequence, byte = sequence + 1, 0
                continue
            if parts:
                break
            room = size - len(str(size)) - 1
            if room > 0:
                return (part[:room],), True, Place(sequence, byte + room)
            break
        return tuple(parts), False, Place(sequence, byte)

    def _data(self, sequence: int) -> bytes:
        if self._encoded[0] == sequence:
            return self._encoded[1]
        data = encode_text(self._log.chunk(sequence))
        if len(data) > MAX_PIECE // 8:
            self._encoded = (sequence, data)
        return data
