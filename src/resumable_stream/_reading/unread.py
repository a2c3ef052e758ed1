"""What has come for a remote reader and is not read yet: bounded, and with an end."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING

from resumable_stream._text.joined import Joined
from resumable_stream._text.offsets import OffsetUnit, Skip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resumable_stream._protocol.wire import DataFrame
    from resumable_stream.errors import ResumableStreamError

# What a queued chunk counts beside its text, so that empty ones are bounded too.
CHUNK_COST = 64
# Chunks per run; window space is given back a run at a time.
_RUN_CHUNKS = 256


class Unread:
    """Runs of chunks between the task that receives them and the callers that read.

    A run that is taken counts until it is given back, since its chunks are still held. A frame of
    many chunks waits as it came, and is divided once its turn comes: chunks take many times the
    memory that they have in a frame.

    Args:
        window: how much may be held, in characters, with ``CHUNK_COST`` for each chunk, or in
            bytes of frames that wait.
        unit: of the text to leave out.

    Attributes:
        room: how much of the window is free; negative, if what came last was more.
        count: how many chunks wait to be taken.
        over: nothing more will come.
        error: what the reader is told at the end; None if the text is complete, or not over.
    """

    __slots__ = (
        "_runs",
        "_skip",
        "_taken",
        "_unit",
        "_waiters",
        "_window",
        "count",
        "error",
        "over",
        "room",
    )

    def __init__(self, window: int, unit: OffsetUnit) -> None:
        self._window = self.room = window
        self._unit = unit
        self._skip = Skip(0, unit)
        # With the cost of each, and how much text it has, if that is known without counting.
        self._runs: deque[tuple[list[str] | Joined, int, int | None]] = deque()
        self._taken = 0  # the cost of the run that is being read
        self._waiters: list[asyncio.Future[None]] = []
        self.count = 0
        self.over = False
        self.error: ResumableStreamError | None = None

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(
            run.texts() if isinstance(run, Joined) else run for run, _cost, _units in self._runs
        )

    def leave_out(self, units: int) -> None:
        """Leave out this much of the text that comes next: it precedes the reader's offset."""
        self._skip.remaining = units

    def put(self, chunks: list[str] | DataFrame) -> None:
        """Take in what has come and wake those who wait for it; nothing after the end.

        Args:
            chunks: what has come, or a frame with nothing else; it is not changed.

        Raises:
            InvalidOffsetError: what to leave out ends inside a surrogate pair.
        """
        if self.over:
            return
        if isinstance(chunks, list):
            self._put(chunks, are_ascii=False)
            return
        joined = chunks.joined
        if self._skip.remaining:
            self._put(chunks.texts, are_ascii=joined.data.isascii())
            return
        if joined.number <= _RUN_CHUNKS:
            if joined.number:
                are_units = joined.data.isascii() or self._unit is OffsetUnit.CODE_POINTS
                self._add(chunks.texts, are_units=are_units)
                self._wake()
            return
        cost = len(joined.data) + len(joined.lengths)
        self._runs.append((joined, cost, None))
        self.count += joined.number
        self.room -= cost
        self._wake()

    def take(self) -> tuple[list[str], int | None] | None:
        """Take the next run, once the one before was given back; None while nothing has come.

        Returns:
            the run, and how much text it has, if that is known without counting.
        """
        if not self._runs:
            return None
        run, self._taken, units = self._runs.popleft()
        if isinstance(run, Joined):
            run, self._taken, units = self._divide(run, self._taken)
        self.count -= len(run)
        return run, units

    def give_back(self) -> bool:
        """Free the room of the run that was taken; tell whether half of the window is free now.

        It is told once, at the moment when it becomes true.
        """
        enough, before = self._window - self._window // 2, self.room
        self.room += self._taken
        self._taken = 0
        return self.room >= enough > before

    def arrival(self) -> asyncio.Future[None]:
        """Return what is done once something has come: to be awaited at once, by one caller.

        Raises:
            StopAsyncIteration: nothing more will, and the text is complete.
            ResumableStreamError: nothing more will, for this reason.
        """
        if self.error is not None:
            raise self.error
        if self.over:
            raise StopAsyncIteration
        if self._waiters:  # without those who have stopped waiting
            self._waiters = [waiter for waiter in self._waiters if not waiter.done()]
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def end(self, error: ResumableStreamError | None) -> None:
        """Take in nothing more; what has come is still read first."""
        if not self.over:
            self.over = True
            self.error = error
            self._wake()

    def clear(self) -> None:
        """Drop what has come: nobody will read it."""
        self._runs.clear()
        self.count = 0

    def _put(self, chunks: list[str], *, are_ascii: bool) -> None:
        if self._skip.remaining:
            chunks = self._skip.feed_all(chunks)
        if chunks:
            # Each character is one unit.
            are_units = are_ascii or self._unit is OffsetUnit.CODE_POINTS
            if len(chunks) <= _RUN_CHUNKS:
                self._add(chunks, are_units=are_units)
            else:
                for at in range(0, len(chunks), _RUN_CHUNKS):
                    self._add(chunks[at : at + _RUN_CHUNKS], are_units=are_units)
            self._wake()

    def _divide(self, joined: Joined, cost: int) -> tuple[list[str], int, int | None]:
        """Let the runs of a frame wait instead of it, and return the first; they share its cost."""
        texts = joined.texts()
        are_units = joined.data.isascii() or self._unit is OffsetUnit.CODE_POINTS
        runs: list[tuple[list[str], int, int | None]] = []
        for at in range(0, len(texts), _RUN_CHUNKS):
            run = texts[at : at + _RUN_CHUNKS]
            characters = sum(map(len, run))
            share = min(cost, characters + len(run))
            cost -= share
            runs.append((run, share, characters if are_units else None))
        run, share, units = runs.pop()
        runs.append((run, share + cost, units))
        self._runs.extendleft(reversed(runs[1:]))
        return runs[0]

    def _add(self, run: list[str], *, are_units: bool) -> None:
        characters = sum(map(len, run))
        cost = characters + len(run) * CHUNK_COST
        self._runs.append((run, cost, characters if are_units else None))
        self.count += len(run)
        self.room -= cost

    def _wake(self) -> None:
        if self._waiters:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()
