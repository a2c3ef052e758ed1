"""One producer's run of a stream: listen, drive the source, end truthfully, serve, release."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from resumable_stream._options import ON_END_TIMEOUT
from resumable_stream._producing.drive import Drive
from resumable_stream._producing.lease import Lease
from resumable_stream._producing.life import Life, Stage
from resumable_stream._producing.recording import Recording
from resumable_stream._producing.requests import Requests
from resumable_stream._producing.service import Service
from resumable_stream._text.endings import Ending, Status
from resumable_stream._text.log import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from resumable_stream._producing.claim import Claim
    from resumable_stream._producing.journaling import Journaling
    from resumable_stream._producing.kept import Kept
    from resumable_stream._producing.publisher import Publisher
    from resumable_stream._producing.v1_audience import V1Audience
    from resumable_stream._protocol.lineage import Lineage
    from resumable_stream._protocol.sentinel import Outcome
    from resumable_stream._shared import Shared
    from resumable_stream._source import MakeStream
    from resumable_stream._stream_end import OnEnd
    from resumable_stream.ports import Loss

logger = logging.getLogger("resumable_stream")

# What the end of a context or an event loop leaves time for.
_LAST_MOMENT = 1.0


class Producer:
    """Runs from ``start`` to its end by itself, whether or not anybody reads.

    Whatever becomes of its tasks, the stream has an ending, and whoever waits for it goes on.
    ``Stage`` tells what it does when.

    Args:
        on_further: called with this producer when it has come to another stage.

    Attributes:
        life: how far it is, for those who wait for it to get further.
        log: the text; local readers are cursors into it.
    """

    __slots__ = (
        "_claim",
        "_drive",
        "_journaling",
        "_kept",
        "_lease",
        "_on_further",
        "_recording",
        "_requests",
        "_service",
        "_shared",
        "_work",
        "life",
        "log",
        "stream_id",
    )

    def __init__(
        self,
        stream_id: str,
        claim: Claim,
        shared: Shared,
        kept: Kept,
        audience: V1Audience,
        publisher: Publisher,
        on_further: Callable[[Producer], object],
    ) -> None:
        options = shared.options
        self.stream_id = stream_id
        self.log = Log(options.buffer_limit)
        self._claim = claim
        self._shared = shared
        self._kept = kept
        self.life = Life()
        self._on_further = on_further
        self._requests = Requests(
            stream_id, shared, on_request=self._on_request, on_loss=self._on_loss
        )
        self._journaling = self._journaling_of(shared)
        draft, throttle = self.log, None
        if self._journaling is not None and self._journaling.drafts:
            draft, throttle = self._journaling.draft, self._journaling.throttle
        self._drive = Drive(
            stream_id, draft, log_tracebacks=options.log_tracebacks, throttle=throttle
        )
        self._recording = Recording(stream_id, claim, self.log, options)
        self._service = Service(self, claim, self._recording, shared, audience, publisher)
        self._lease = Lease(
            stream_id, claim, shared, on_lapsed=self._service.wake, on_gone=self._give_up
        )
        self._work: asyncio.Task[None] | None = None

    @property
    def generation(self) -> int:
        return self._claim.generation

    @property
    def lineage(self) -> Lineage:
        """The runs that it continues."""
        return self._claim.lineage

    def has_text_of(self, generation: int) -> bool:
        """Tell whether its text is that run's, or begins with it."""
        return generation == self.generation or self.lineage.end_of(generation) is not None

    @property
    def kept_until(self) -> int:
        """Until when the journal has all of the text, in Unix time; 0 if it has not, or not yet."""
        return self._recording.kept_until

    @property
    def is_fenced(self) -> bool:
        """Whether it knows that somebody else has the claim; it may have ended before."""
        return self._lease.superseded or self.log.ending == Ending(Status.SUPERSEDED)

    @property
    def is_journaled(self) -> bool:
        """Whether its text is written to the journal."""
        return self._journaling is not None

    @property
    def settled(self) -> asyncio.Future[None]:
        """Done once the end is recorded, or cannot be. Never raises."""
        return self.life.settled

    async def listen(self) -> None:
        """Hear requests, before the claim is taken and can be seen."""
        await self._requests.listen()

    async def abandon(self) -> None:
        """Listen no more: the claim was not won, and nothing was started."""
        self._reach(Stage.RELEASED)
        await self._requests.aclose()

    async def adopt(self, chunks: Sequence[str], outcome: Outcome) -> None:
        """Begin with the text of a run that was lost; the claim is won, and nothing started.

        Raises:
            BackendError, SupersededError, NotKeptError: it cannot be kept.
        """
        assert outcome.generation is not None  # noqa: S101 - for the type checker
        self._claim.lineage = outcome.lineage.continued(outcome.generation, outcome.end)
        draft = self.log if self._journaling is None else self._journaling.draft
        for chunk in chunks:
            draft.append(chunk)
        if self._journaling is not None:
            await self._journaling.adopt()

    def start(self, make_stream: MakeStream, on_end: OnEnd | None) -> None:
        """Begin, with the claim won; returns at once."""
        self._reach(Stage.RUNNING)
        self._recording.on_end = on_end
        self._drive.begin(make_stream)
        if self._journaling is not None:
            self._journaling.begin()
        self._begin(self._run(), self._name, self._work_is_over)
        logger.info("stream %r: generation %d started", self.stream_id, self.generation)
        self._requests.answer()

    def stop(self, ending: Ending) -> bool:
        """End the stream now and close the source; False if it had ended already."""
        return self._drive.stop(ending)

    def erase(self) -> None:
        """Forget the text, once the end is recorded: whoever still reads it finds it trimmed."""
        if self.life.stage < Stage.SERVING:
            return
        self.log.clear()
        if self._kept.discard(self):
            self.let_go()
        else:
            self._reach(Stage.PARTING)

    def let_go(self) -> None:
        """Serve those to the end who are served by now, and release everything."""
        self._reach(Stage.PARTING)
        self._begin(self._part(), f"{self._name} parting", self._work_is_over)

    async def aclose(self) -> None:
        """Release everything soon, though listeners may not have got the end yet."""
        while (work := self._work) is not None and not work.done():
            await asyncio.wait({work}, timeout=_LAST_MOMENT)
            work.cancel()
            await asyncio.wait({work})
        await self._release()

    def _reach(self, stage: Stage) -> None:
        self.life.reach(stage)
        self._on_further(self)

    @property
    def _name(self) -> str:
        return f"resumable-stream producer {self.stream_id!r}"

    async def _run(self) -> None:
        self._lease.begin()
        try:
            # Not in a coroutine of the drive's, which would stay there while the stream runs.
            await self._drive.ended
            await self._drive.over()
            await self._end_journal()
            await self._tell_owner(ON_END_TIMEOUT)
            await self._lease.end()
            options = self._shared.options
            end = await self._recording.record(options.outage_timeout + options.lease)
            superseded = end.ending.status is Status.SUPERSEDED
            if superseded:
                await self._service.dismiss(end)
            else:
                self._service.announce(end)
            self._reach(Stage.SERVING)
            await self._service.farewell()
        except asyncio.CancelledError:
            # The context or the event loop is being shut down, while there is still a moment.
            self._shared.background.notice_end()
            self.stop(Ending(Status.LOST))
            await self._end_at_once()
            raise
        self._reach(Stage.DRAINED)
        if superseded or self.life.stage > Stage.DRAINED or not self._kept.add(self):
            await self._release()

    async def _end_journal(self, patience: float = 0.0) -> None:
        """Write what is left of the text, and the end, before anybody learns that it is over."""
        if self._journaling is not None and self.life.stage < Stage.TELLING:
            self._recording.kept_until = await self._journaling.finish(patience)

    async def _tell_owner(self, patience: float) -> None:
        """Call ``on_end``, once, before anybody can learn elsewhere that the stream is over."""
        if self.life.stage < Stage.TELLING:
            ending = await self._recording.checked_ending()
            self._reach(Stage.TELLING)  # from here on it is not told again
            await self._recording.tell_owner(ending, patience)
        self._reach(Stage.RECORDING)

    async def _part(self) -> None:
        try:
            await self._service.farewell()
        except asyncio.CancelledError:
            await self._release()
            raise
        await self._release()

    async def _end_at_once(self) -> None:
        """Do in a last moment what is left of the end, in whatever stage it was cut short."""
        await self._lease.end()
        await self._drive.close(_LAST_MOMENT)
        await self._end_journal(_LAST_MOMENT)
        await self._tell_owner(_LAST_MOMENT)
        if self.life.stage < Stage.SERVING:
            await self._service.dismiss(await self._recording.record(_LAST_MOMENT))
            self._reach(Stage.SERVING)
        await self._release()

    async def _release(self) -> None:
        self._kept.discard(self)
        await self._service.aclose()
        await self._requests.aclose()
        self._reach(Stage.RELEASED)

    def _begin(
        self,
        work: Coroutine[None, None, None],
        name: str,
        when_over: Callable[[asyncio.Task[None]], None],
    ) -> None:
        self._work = asyncio.get_running_loop().create_task(work, name=name)
        self._work.add_done_callback(when_over)

    def _work_is_over(self, work: asyncio.Task[None]) -> None:
        """Make up for a task that was cancelled before its first step, or during its last ones."""
        if not self._was_cut_short(work):
            return
        if self._shared.background.is_ending():
            self._cut_off()
        else:
            self._begin(self._end_at_once(), f"{self._name} end", self._rescue_is_over)

    def _rescue_is_over(self, rescue: asyncio.Task[None]) -> None:
        if self._was_cut_short(rescue):
            self._cut_off()

    def _cut_off(self) -> None:
        if self._journaling is not None:
            self._journaling.cut_off()
        self._reach(Stage.CUT_OFF)

    def _was_cut_short(self, work: asyncio.Task[None]) -> bool:
        """Tell whether a task has left something to do; if so, see that the stream has ended."""
        error = None if work.cancelled() else work.exception()
        if error is not None:
            logger.error("stream %r: its producer failed", self.stream_id, exc_info=error)
        elif not work.cancelled() or self.life.stage is Stage.RELEASED:
            return False
        self.stop(Ending(Status.LOST))
        return True

    def _journaling_of(self, shared: Shared) -> Journaling | None:
        if shared.options.durability is None or shared.journal is None:
            return None
        # Imported here: most programs keep nothing.
        from resumable_stream._producing.journaling import Journaling  # noqa: PLC0415

        return Journaling(
            self.stream_id, self._claim, self.log, shared, shared.journal, on_gone=self._give_up
        )

    def _give_up(self, ending: Ending) -> None:
        self.stop(ending)
        if self._journaling is not None:
            self._journaling.superseded = ending.status is Status.SUPERSEDED

    def _on_request(self, message: bytes) -> None:
        if not self._is_cancelled():
            self._service.handle(message)

    def _on_loss(self, loss: Loss) -> None:
        logger.debug("stream %r: requests may have been lost: %s", self.stream_id, loss)
        if not self._is_cancelled():
            self._lease.renew_now()
            if self._journaling is not None:
                self._journaling.doubt()
            self._service.resync()

    def _is_cancelled(self) -> bool:
        """The event loop may be ending: no task may be born."""
        return self._work is not None and bool(self._work.cancelling())
