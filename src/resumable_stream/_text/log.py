"""The one buffer of a stream: an append-only log of chunks. Every reader is a cursor into it."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resumable_stream._text.blocks import Block
from resumable_stream._text.joined import join
from resumable_stream._text.offsets import OffsetUnit, length

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream._text.endings import Ending
    from resumable_stream._text.joined import Joined

# A block is sealed once its characters, plus _CHUNK_COST for each chunk, reach this number. A
# reader decodes a whole block at once.
_BLOCK_SIZE = 32 * 1024
_CHUNK_COST = 32
_START = dict.fromkeys(OffsetUnit, 0)
# Readers are woken at most once in this many seconds, for all chunks that have come since.
PACE = 0.001


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the text: a chunk by its sequence number, and an index within that chunk."""

    sequence: int
    index: int = 0


class TrimmedError(Exception):
    """The place asked for is before ``start``, the first offset still buffered."""

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self.start = start


class InsidePairError(Exception):
    """The offset falls inside a surrogate pair."""


class Log:
    """Chunks by sequence number, with the offset of each in both units.

    The newest chunks are kept as they came, all others in sealed blocks.

    Args:
        limit: how many UTF-16 code units to keep. Older text is dropped when a block is full; the
            newest chunk is never dropped.

    Attributes:
        first: the sequence number of the oldest chunk still buffered.
        on_news: called whenever readers are woken, while there are remote ones.
        on_block: called whenever a block is full.
    """

    def __init__(self, limit: int) -> None:
        self.ending: Ending | None = None
        self.first = 0
        self.on_news: Callable[[], None] | None = None
        self.on_block: Callable[[], None] | None = None
        # The log is trimmed only when a block is full. So besides the text to keep it holds dropped
        # text in the oldest block, and the newest block until that is full: hence small blocks.
        self._block_size = max(1, min(_BLOCK_SIZE, limit // 8))
        self._keep = limit
        self._blocks: list[Block] = []
        self._open: list[str] = []
        self._open_first = 0
        self._open_offsets = _START  # of the newest chunks, as a block's ``after``
        self._room = self._block_size
        self._waiters: dict[asyncio.Future[None], None] = {}  # in order of arrival
        self._woken_at = -float("inf")
        self._timer: asyncio.TimerHandle | None = None

    @property
    def end(self) -> int:
        """The sequence number that the next chunk will get."""
        return self._open_first + len(self._open)

    @property
    def sealed(self) -> int:
        """How many full blocks are buffered."""
        return len(self._blocks)

    @property
    def size(self) -> int:
        """Roughly how many bytes of text are buffered."""
        return sum(len(block.joined.data) for block in self._blocks) + sum(map(len, self._open))

    def append(self, chunk: str) -> None:
        """Add a chunk, trim what exceeds the limit, and wake the readers."""
        self._open.append(chunk)
        self._room -= len(chunk) + _CHUNK_COST
        if self._room <= 0:
            self._seal()
        if self._timer is None and (self._waiters or self.on_news is not None):
            self._wake_in_time()

    def finish(self, ending: Ending) -> bool:
        """Set the ending, once; return whether this call set it."""
        if self.ending is not None:
            return False
        self.ending = ending
        self.notify()
        return True

    def chunk(self, sequence: int) -> str:
        """Return a chunk between ``first`` and ``end``."""
        if sequence >= self._open_first:
            return self._open[sequence - self._open_first]
        block = self.block(sequence)
        return block.text(sequence - block.first)

    def texts(self, sequence: int) -> list[str]:
        """Return a chunk between ``first`` and ``end``, and the chunks after it in its block."""
        if sequence >= self._open_first:
            return self._open[sequence - self._open_first :]
        block = self.block(sequence)
        return block.texts(sequence - block.first)

    def tail(self, sequence: int) -> Joined | None:
        """Return a chunk and all that follow; None if the chunk is in a sealed block."""
        if sequence < self._open_first:
            return None
        return join(self._open[sequence - self._open_first :])

    def block(self, sequence: int) -> Block:
        """Return the block of a chunk between ``first`` and ``end``, or the newest one.

        The newest block holds the chunks that are not sealed yet.
        """
        if sequence >= self._open_first:
            return self._newest()
        at = bisect_right(self._blocks, sequence, key=lambda block: block.first)
        return self._blocks[at - 1]

    def offset(self, position: Position, unit: OffsetUnit) -> int:
        """Return how many units of text lie before ``position``, which is not trimmed."""
        if position.sequence == self._open_first and not position.index:
            return self._open_offsets[unit]  # where most readers begin: no block is needed
        block = self.block(position.sequence)
        at = position.sequence - block.first
        start = block.offset(at, unit)
        if not position.index:
            return start
        return start + length(block.text(at)[: position.index], unit)

    def locate(self, offset: int, unit: OffsetUnit) -> Position | None:
        """Return the place of an offset; None if it is beyond the present end.

        Raises:
            TrimmedError: the text there is no longer buffered.
            InsidePairError: the offset falls inside a surrogate pair.
        """
        start = self.start_offset(unit)
        if offset < start:
            raise TrimmedError(start)
        if offset == start:
            return Position(self.first)
        at = bisect_right(self._blocks, offset, key=lambda block: block.after[unit])
        block = self._blocks[at] if at < len(self._blocks) else self._newest()
        end = block.after[unit]
        if offset >= end:
            return Position(self.end) if offset == end else None
        chunk, index = block.locate(offset, unit)
        if index is None:
            raise InsidePairError
        return Position(block.first + chunk, index)

    def start_offset(self, unit: OffsetUnit) -> int:
        """Return the first offset still buffered."""
        return self.offset(Position(self.first), unit)

    def end_offset(self, unit: OffsetUnit) -> int:
        """Return the offset at the present end."""
        return self._newest().after[unit]

    def forget(self, sequence: int) -> None:
        """Drop all sealed blocks before a chunk between ``first`` and ``end``."""
        gone = bisect_right(self._blocks, sequence, key=lambda block: block.end)
        del self._blocks[:gone]
        self.first = max(self.first, min(sequence, self._open_first))

    def clear(self) -> None:
        """Drop all text, as if it were trimmed, and wake the readers."""
        newest = self._newest()
        self._blocks.clear()
        self._open, self._open_first, self._open_offsets = [], newest.end, newest.after
        self.first = newest.end
        self.notify()

    def notify(self) -> None:
        """Wake every reader, even if no chunk has come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.on_news is not None:
            self.on_news()  # first, because a remote reader has the longer way
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def watch(self, waiter: asyncio.Future[None]) -> None:
        """Resolve ``waiter`` at the next chunk or at the end."""
        self._waiters[waiter] = None

    def unwatch(self, waiter: asyncio.Future[None]) -> None:
        self._waiters.pop(waiter, None)

    async def changed(self) -> None:
        """Wait for the next chunk or the end. It may be cancelled: no chunk is lost."""
        waiter = asyncio.get_running_loop().create_future()
        self.watch(waiter)
        try:
            await waiter
        finally:
            self.unwatch(waiter)

    def _wake_in_time(self) -> None:
        """Wake the readers now, or once ``PACE`` has passed since they were last woken."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now < self._woken_at + PACE:
            self._timer = loop.call_at(self._woken_at + PACE, self._wake, loop)
        else:
            self._woken_at = now
            self.notify()

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        self._woken_at = loop.time()
        self.notify()

    def _newest(self) -> Block:
        """The chunks that are not sealed yet, as a block."""
        return Block(self._open_first, self._open_offsets, self._open)

    def _seal(self) -> None:
        block = self._newest()
        self._blocks.append(block)
        self._open = []
        self._open_first = block.end
        self._open_offsets = block.after
        self._room = self._block_size
        self._trim(self._open_offsets[OffsetUnit.UTF16] - self._keep)
        if self.on_block is not None:
            self.on_block()

    def _trim(self, keep_from: int) -> None:
        """Drop all chunks that begin before the offset, except the newest."""
        gone = bisect_left(self._blocks, keep_from, key=lambda block: block.after[OffsetUnit.UTF16])
        del self._blocks[: min(gone, len(self._blocks) - 1)]
        oldest = self._blocks[0]
        self.first = max(self.first, min(oldest.first_from(keep_from), self.end - 1))
