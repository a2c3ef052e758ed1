"""What a producer sends a listener of the TypeScript package: all text as it comes, unframed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable_stream._producing.pieces import MAX_PIECE
from resumable_stream._protocol.wire import V1_END, encode_v1
from resumable_stream._text.log import InsidePairError, TrimmedError
from resumable_stream._text.offsets import OffsetUnit, Skip
from resumable_stream.errors import InvalidOffsetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resumable_stream._text.log import Log

_REPLACEMENT = "\ufffd"
_BYTES_PER_CHARACTER = 4

State = tuple[int, str, int, bool]


class V1Cursor:
    """How far one TypeScript listener has been served.

    The first message is what is buffered, also if that is nothing: it acknowledges the request.
    Then comes each chunk, and in the end the marker.
    """

    def __init__(self, log: Log, sequence: int, head: str = "", skip: int = 0) -> None:
        self.ended = False
        self._sequence = sequence
        self._head = head
        self._skip = skip
        self._acknowledged = False
        self._replay_until = log.end

    @classmethod
    def at(cls, log: Log, skip: int) -> V1Cursor | None:
        """Begin ``skip`` UTF-16 units into the text; None if it is no longer buffered."""
        half = ""
        try:
            try:
                position = log.locate(skip, OffsetUnit.UTF16)
            except InsidePairError:
                # As in JavaScript, half a pair is text too; it travels as U+FFFD.
                position, half = log.locate(skip - 1, OffsetUnit.UTF16), _REPLACEMENT
        except TrimmedError:
            return None
        if position is None:
            return cls(log, log.end, skip=skip - log.end_offset(OffsetUnit.UTF16))
        if not position.index and not half:
            return cls(log, position.sequence)
        rest = log.chunk(position.sequence)[position.index + len(half) :]
        return cls(log, position.sequence + 1, head=half + rest)

    def has_news(self, log: Log, *, ended: bool) -> bool:
        return ended or not self._acknowledged or self._sequence < log.end

    def save(self) -> State:
        return self._sequence, self._head, self._skip, self._acknowledged

    def failed(self, state: State, *, unsent: bool) -> None:
        """Go back to ``state``, if nothing since was sent; end, if some of it may have been."""
        if unsent:
            self._sequence, self._head, self._skip, self._acknowledged = state
            self.ended = False
        elif state != self.save():
            self.ended = True  # better no end than a wrong text

    def messages(self, log: Log, limit: int, *, ended: bool) -> Iterator[bytes]:
        """Yield what is due now, about 256 KiB at most, each message within ``limit`` bytes."""
        if self._sequence < log.first:
            self.ended = True  # trimmed away: better no end than a wrong text
            return
        size = min(MAX_PIECE, limit) // _BYTES_PER_CHARACTER
        if not self._acknowledged or self._sequence < self._replay_until:
            yield from _split(self._replay(log, size), size)
        room = MAX_PIECE
        while self._sequence < log.end and room > 0:
            if (chunk := self._next(log)) is not None:
                room -= len(chunk) + 1
                yield from _split(chunk, size)
        if ended and self._sequence == log.end:
            self.ended = True
            yield encode_v1(V1_END)

    def _replay(self, log: Log, size: int) -> str:
        texts, room = [self._head], size - len(self._head)
        self._head, self._acknowledged = "", True
        while self._sequence < self._replay_until and room > 0:
            chunk = self._next(log)
            if chunk is not None:
                texts.append(chunk)
                room -= len(chunk)
        return "".join(texts)

    def _next(self, log: Log) -> str | None:
        chunk = log.chunk(self._sequence)
        self._sequence += 1
        if not self._skip:
            return chunk
        skip = Skip(self._skip, OffsetUnit.UTF16)
        try:
            rest = skip.feed(chunk)
        except InvalidOffsetError:
            skip = Skip(self._skip - 1, OffsetUnit.UTF16)
            rest = _REPLACEMENT + (skip.feed(chunk) or "")[1:]
        self._skip = skip.remaining
        return rest


def _split(text: str, size: int) -> Iterator[bytes]:
    """Cut text to messages; none of them may read as the end marker."""
    for start in range(0, len(text) or 1, size):
        part = text[start : start + size]
        if part == V1_END:
            yield encode_v1(part[:1])
            part = part[1:]
        yield encode_v1(part)
