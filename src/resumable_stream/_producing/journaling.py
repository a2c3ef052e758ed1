"""When the text of a running stream is written to the journal, and when readers get it."""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from functools import partial
from typing import TYPE_CHECKING

from resumable_stream._options import Durability
from resumable_stream._producing.claim import SupersededError
from resumable_stream._producing.journal_log import ForeignRecordError
from resumable_stream._producing.journal_writer import JournalWriter, NotKeptError
from resumable_stream._protocol import sentinel
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.wire import EndFrame
from resumable_stream._text.endings import Ending, Status
from resumable_stream._text.log import Log
from resumable_stream.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream._producing.claim import Claim
    from resumable_stream._shared import Shared
    from resumable_stream.journal import Journal

logger = logging.getLogger("resumable_stream")

# How long text that has come waits for more.
_ASYNC_INTERVAL = 1.0
# After a write, a full block waits with the others for so long: an append takes as much of the
# processor as hundreds of chunks.
_ASYNC_PAUSE = 0.02
_SYNC_INTERVAL = 0.02
# With "exit", so many full blocks are written before the end, which would wait for them.
_EXIT_BLOCKS = 32
# With "sync", a source waits once this many full blocks of text are not written.
_MOST_BLOCKS = 256
# How long an ending waits for a journal that does not get on, unless readers wait for it, too.
_END_PATIENCE = 5.0
# It is counted in looks, not in seconds: a journal has no time while this process stands still.
_LOOK_EVERY = 0.5


class Journaling:
    """Writes the text of one stream, from ``begin`` to ``finish``.

    With ``"sync"`` the source writes to a draft, whose text becomes the stream's once it is in the
    journal. Otherwise the draft is the stream's own log.

    Args:
        text: what readers read.
        on_gone: called with how the stream ends, if it cannot go on.

    Attributes:
        draft: what the source writes to.
        superseded: the claim is known to be lost.
    """

    __slots__ = (
        "_began",
        "_blocks",
        "_generation",
        "_hurry",
        "_kept",
        "_on_gone",
        "_options",
        "_stream_id",
        "_task",
        "_text",
        "_ticks",
        "_writer",
        "draft",
        "superseded",
    )

    def __init__(
        self,
        stream_id: str,
        claim: Claim,
        text: Log,
        shared: Shared,
        journal: Journal,
        on_gone: Callable[[Ending], object],
    ) -> None:
        self._stream_id = stream_id
        self._generation = claim.generation
        self._options = shared.options
        self._ticks = shared.ticks
        self._text = text
        self._on_gone = on_gone
        self.draft = text
        tolerance = float("inf")
        if self._options.durability is Durability.SYNC:
            self.draft = Log(sys.maxsize)
            tolerance = self._options.outage_timeout
        self._writer = JournalWriter(stream_id, claim, shared, journal, tolerance)
        self.superseded = False
        self._kept = True
        self._began = 0.0  # when the last write did
        self._blocks = 0  # full ones, since the last write was due
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def adopt(self) -> None:
        """Write the text that the stream begins with, before anything says that it is here.

        Raises:
            NotKeptError, ForeignRecordError, SupersededError, BackendError: it is not written.
        """
        if not self._at_end:
            await self._writer.copy(self.draft)
            self._publish()

    def begin(self) -> None:
        """Write while the stream runs; with "exit", as soon as there is much."""
        self.draft.on_block = self._on_block
        if not self._at_end:
            self._start()

    def doubt(self) -> None:
        """The journal may have lost text: see that it is written again."""
        self._writer.doubtful = True
        self.draft.notify()

    async def throttle(self) -> None:
        """Wait while too much is not written yet, as the source of a "sync" stream has to."""
        while self.draft.sealed > _MOST_BLOCKS and self.draft.ending is None:
            await self.draft.changed()

    async def finish(self, patience: float = 0.0) -> int:
        """Write what is left, and the end; return until when all of it is kept, in Unix time.

        With "sync", readers learn the ending here. Return 0 if the text is not kept.

        Args:
            patience: how long to wait, in seconds, while no record gets written; the default
                depends on the durability.
        """
        ending = self.draft.ending
        assert ending is not None  # noqa: S101 - for the type checker
        if ending.status is Status.SUPERSEDED:
            await self._end(0)
        else:
            self._start()
            wait = self._options.outage_timeout if self.drafts else _END_PATIENCE
            await self._end(patience or wait)
        if self.drafts:
            self._finish_text(ending)
        if not self._kept:
            return 0
        return math.ceil(sentinel.wall_clock() + self._options.retention)

    def cut_off(self) -> None:
        """Write nothing more, as the event loop ends: the stream has an ending all the same."""
        if self.drafts:
            self._finish_text(self.draft.ending or Ending(Status.LOST))

    @property
    def drafts(self) -> bool:
        """The readers wait for the journal."""
        return self.draft is not self._text

    @property
    def _at_end(self) -> bool:
        return self._options.durability is Durability.EXIT

    def _finish_text(self, ending: Ending) -> None:
        if ending.status is Status.COMPLETED and self._text.end < self.draft.end:
            lost = "the journal did not take the end of the text"
            ending = Ending(Status.FAILED, "BackendUnavailableError", lost)
            if self.superseded:
                ending = Ending(Status.SUPERSEDED)
        self._text.finish(ending)

    def _on_block(self) -> None:
        if self._at_end:
            self._blocks += 1
            if self._blocks == _EXIT_BLOCKS:
                self._start()
                self._hurry.set()
            return
        # While blocks come faster, the next one writes this one, too.
        if self.drafts or asyncio.get_running_loop().time() >= self._began + _ASYNC_PAUSE:
            self._hurry.set()

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(
                self._run(), name=f"resumable-stream producer {self._stream_id!r} journal"
            )

    async def _end(self, patience: float) -> None:
        """Wait for the task while it gets on, then cancel it."""
        self._hurry.set()
        task, known = self._task, self._writer.index
        if task is None:
            self._kept = False
            return
        looks = most = math.ceil(patience / _LOOK_EVERY)
        while looks and not task.done():
            await asyncio.wait({task}, timeout=min(patience, _LOOK_EVERY))
            looks = looks - 1 if known == self._writer.index else most
            known = self._writer.index
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        if task.cancelled():
            self._kept = False
            logger.warning("stream %r: its text is not kept: the journal is away", self._stream_id)

    async def _run(self) -> None:
        try:
            if self._at_end and self.draft.ending is None:
                await self._writer.copy(self.draft)
            while not await self._write():
                await self._gather()
        except NotKeptError as error:
            self._kept = False
            logger.warning("stream %r: its text is not kept: %s", self._stream_id, error)
            await self._relay()
        except (ForeignRecordError, SupersededError):
            self._kept = False
            self._on_gone(Ending(Status.SUPERSEDED))
            if self.drafts:
                self._text.finish(Ending(Status.SUPERSEDED))
        except BackendError as error:
            logger.error("stream %r: its text is not kept: %s", self._stream_id, error)  # noqa: TRY400
            self._fail(error)
        except Exception as error:
            logger.exception("stream %r: writing its journal failed", self._stream_id)
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._kept = False
        if self.drafts:
            self._on_gone(Ending(Status.FAILED, type(error).__name__, str(error), cause=error))

    async def _write(self) -> bool:
        """Write all that is there; return whether that was the end."""
        self._began = asyncio.get_running_loop().time()
        self._hurry.clear()
        self._blocks = 0
        while True:
            end, source = self._end_frame(), self.draft
            if self._writer.place.sequence < self._text.end:
                source = self._text  # also what was written once, and lost
            left = await self._writer.write(source, end if source is self.draft else None)
            self._publish()
            if not left and source is self.draft:
                return end is not None

    def _end_frame(self) -> EndFrame | None:
        ending = self.draft.ending
        if ending is None:
            return None
        if ending.status is Status.SUPERSEDED:
            raise SupersededError
        if not self._options.disclose_errors:
            ending = ending._replace(error_type=None, error_message=None)
        return EndFrame(self._generation, self.draft.end, ending)

    async def _gather(self) -> None:
        """Wait until there is text to write, and then for what comes with it."""
        draft, writer = self.draft, self._writer
        while writer.place.sequence >= draft.end and draft.ending is None and not writer.doubtful:
            await draft.changed()
        if draft.ending is not None or writer.doubtful:
            return
        if self._at_end:
            await self._hurry.wait()
            return
        hurry = self._hurry.set
        if self.drafts:
            # Readers wait: a chunk that comes alone is written at once.
            timer = asyncio.get_running_loop().call_at(self._began + _SYNC_INTERVAL, hurry)
            forget = timer.cancel
        else:
            # What many streams have due goes to the server together.
            tick = self._ticks.call_later(_ASYNC_INTERVAL, hurry)
            forget = partial(self._ticks.cancel, tick, hurry)
        try:
            await self._hurry.wait()
        finally:
            forget()

    def _publish(self) -> None:
        """With "sync", hand the readers what is written."""
        if not self.drafts:
            return
        text, until = self._text, self._writer.place.sequence
        while text.end < until:
            for chunk in self.draft.texts(text.end)[: until - text.end]:
                text.append(chunk)
        self.draft.forget(until)
        self.draft.notify()  # a source that waits

    async def _relay(self) -> None:
        """With "sync", hand the readers what is not to be written."""
        while self.drafts:
            self._writer.place = Place(self.draft.end)
            self._publish()
            if self.draft.ending is not None:
                return
            await self.draft.changed()
