"""One producer's run of a stream: drive the source, keep the lease, end truthfully."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from resumable_stream._options import CLOSE_TIMEOUT, ON_END_TIMEOUT
from resumable_stream._producing.claim import SupersededError
from resumable_stream._producing.lease import Lease
from resumable_stream._producing.outgoing import Outgoing
from resumable_stream._producing.publisher import Publisher
from resumable_stream._producing.recording import record_end
from resumable_stream._protocol.wire import EndFrame
from resumable_stream._source import Source, fill
from resumable_stream._stream_end import StreamEnd, producing, tell_owner
from resumable_stream._text.endings import Ending, Status
from resumable_stream._text.log import Log
from resumable_stream.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from resumable_stream._producing.claim import Claim
    from resumable_stream._producing.kept import Kept
    from resumable_stream._producing.v1_audience import V1Audience
    from resumable_stream._shared import Shared
    from resumable_stream._source import MakeStream
    from resumable_stream._stream_end import OnEnd
    from resumable_stream.ports import Loss, Subscription

logger = logging.getLogger("resumable_stream")

# What the end of a context or an event loop leaves time for.
_LAST_MOMENT = 1.0
# More requests than this, made while the claim is being taken, must be made again.
_MAX_EARLY = 1024

# Sources that did not close in time: referenced until they do.
_stragglers: set[asyncio.Task[None]] = set()


class Producer:
    """Runs from ``start`` to its end by itself, whether or not anybody reads.

    Whatever becomes of its tasks, the stream has an ending, and whoever waits for it goes on.

    Attributes:
        log: the text; local readers are cursors into it.
        stored: done once ``on_end`` has been called, if there is one: only now may anybody be told
            that the stream is over. Never raises.
        settled: done once the end is recorded, or cannot be. Never raises.
        drained: done once nobody waits for anything more of the stream. Never raises.
        closed: done once everything is released. Never raises.
    """

    def __init__(
        self,
        stream_id: str,
        claim: Claim,
        shared: Shared,
        kept: Kept,
        audience: V1Audience,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.stream_id = stream_id
        self.generation = claim.generation
        self.log = Log(shared.options.buffer_limit)
        self.stored: asyncio.Future[None] = loop.create_future()
        self.settled: asyncio.Future[None] = loop.create_future()
        self.drained: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._claim = claim
        self._shared = shared
        self._kept = kept
        self._outgoing = Outgoing(
            stream_id,
            claim,
            self.log,
            shared,
            audience,
            on_news=self._on_news,
            on_cancel=self._on_cancel,
        )
        self._publisher = Publisher(self._outgoing, shared.backend)
        self._lease = Lease(
            stream_id,
            claim,
            shared,
            on_lapsed=self._publisher.wake,
            on_superseded=lambda: self.stop(Ending(Status.SUPERSEDED)),
        )
        self._on_end: OnEnd | None = None
        self._subscription: Subscription | None = None
        self._early: list[bytes] = []
        # A future: an event takes a kilobyte.
        self._ended: asyncio.Future[None] = loop.create_future()
        self._source: asyncio.Task[None] | None = None
        self._run_task: asyncio.Task[None] | None = None
        self._rescued = False

    async def listen(self) -> None:
        """Subscribe to requests, before the claim is taken and can be seen.

        A TypeScript listener that finds the claim asks once, and gives up if it is not heard.
        """
        self._subscription = await self._shared.backend.subscribe(
            self._shared.names.request(self.stream_id), self._on_request, self._on_loss
        )

    async def abandon(self) -> None:
        """Listen no more: the claim was not won, and nothing was started."""
        if self._subscription is not None:
            await self._subscription.aclose()

    def start(self, make_stream: MakeStream, on_end: OnEnd | None) -> None:
        """Begin, with the claim won; returns at once."""
        self._on_end = on_end
        loop = asyncio.get_running_loop()
        self._source = loop.create_task(self._drive(make_stream), name=f"{self._name} source")
        self._source.add_done_callback(self._source_is_gone)
        self._work(self._run(self._source), self._name)
        logger.info("stream %r: generation %d started", self.stream_id, self.generation)
        early, self._early = self._early, []
        for request in early:
            self._outgoing.handle(request)

    def stop(self, ending: Ending) -> bool:
        """End the stream now and close the source; False if it had ended already."""
        if not self._finish(ending):
            return False
        if self._source is not None:
            self._source.cancel()
        return True

    def let_go(self) -> None:
        """When its grace is over: end what is served by now, and release everything."""
        self._work(self._part(), f"{self._name} parting")

    async def aclose(self) -> None:
        """Release everything soon, though listeners may not have got the end yet."""
        while (work := self._run_task) is not None and not work.done():
            await asyncio.wait({work}, timeout=_LAST_MOMENT)
            await _cancel(work)
        await self._release()

    @property
    def _name(self) -> str:
        return f"resumable-stream producer {self.stream_id!r}"

    def _work(self, work: Coroutine[None, None, None], name: str) -> None:
        self._run_task = asyncio.get_running_loop().create_task(work, name=name)
        self._run_task.add_done_callback(self._work_is_over)

    def _finish(self, ending: Ending) -> bool:
        _resolve(self._ended)
        return self.log.finish(ending)

    async def _run(self, source: asyncio.Task[None]) -> None:
        keeper = asyncio.create_task(self._lease.keep(), name=f"{self._name} lease")
        keeper.add_done_callback(self._keeper_is_gone)
        try:
            await self._source_ended(source)
            await self._tell_owner(ON_END_TIMEOUT)
            await _cancel(keeper)
            options = self._shared.options
            told = await self._settle(options.outage_timeout + options.lease)
            await self._publisher.farewell()
        except asyncio.CancelledError:
            # The context or the event loop is being shut down, while there is still a moment.
            self._shared.background.notice_end()
            self.stop(Ending(Status.LOST))
            await _cancel(keeper)
            await self._end_at_once(source)
            raise
        _resolve(self.drained)
        if told is Status.SUPERSEDED or not self._kept.add(self):
            await self._release()

    async def _end_at_once(self, source: asyncio.Task[None]) -> None:
        source.cancel()
        await asyncio.wait({source}, timeout=_LAST_MOMENT)
        await self._tell_owner(_LAST_MOMENT)
        await self._settle(_LAST_MOMENT, at_once=True)
        await self._release()

    async def _part(self) -> None:
        try:
            await self._publisher.farewell()
        finally:
            await self._release()

    @property
    def _superseded(self) -> bool:
        return self.log.ending == Ending(Status.SUPERSEDED)

    def _source_is_gone(self, source: asyncio.Task[None]) -> None:
        """A task may be cancelled before its first step, and then runs nothing of its own."""
        error = None if source.cancelled() else source.exception()
        self._finish(Ending(Status.LOST) if error is None else _failure(error))

    def _keeper_is_gone(self, keeper: asyncio.Task[None]) -> None:
        """Without a lease there is no stream, though the source could go on."""
        if not keeper.cancelled() and (error := keeper.exception()) is not None:
            logger.error("stream %r: keeping its lease failed", self.stream_id, exc_info=error)
        self.stop(Ending(Status.LOST))

    def _work_is_over(self, work: asyncio.Task[None]) -> None:
        """Make up for a task that was cancelled before its first step, or during its last ones."""
        error = None if work.cancelled() else work.exception()
        if error is not None:
            logger.error("stream %r: its producer failed", self.stream_id, exc_info=error)
        elif not work.cancelled() or self.closed.done():
            return
        self.stop(Ending(Status.LOST))
        if self._source is None or self._shared.background.is_ending() or self._rescued:
            # What is not released is left to the context's close, or goes with the loop.
            for future in (self.stored, self.settled, self.drained):
                _resolve(future)
        else:
            self._rescued = True
            self._work(self._end_at_once(self._source), f"{self._name} end")

    async def _drive(self, make_stream: MakeStream) -> None:
        producing.set(self.log)
        try:
            async with Source(make_stream) as chunks:
                await fill(self.log, chunks)
                self._finish(Ending(Status.COMPLETED))
        except asyncio.CancelledError as error:
            if self.log.ending is None:
                # Not ours: the source's own, or the event loop's at shutdown.
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    self._finish(Ending(Status.LOST))
                else:
                    self._source_failed(error)
            raise
        except BaseException as error:
            self._source_failed(error)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise

    def _source_failed(self, error: BaseException) -> None:
        shown = error if self._shared.options.log_tracebacks else None
        kind = type(error).__name__
        if self._finish(_failure(error)):
            logger.error("stream %r: the source failed: %s", self.stream_id, kind, exc_info=shown)
        else:
            logger.warning(
                "stream %r: the source raised on closing: %s", self.stream_id, kind, exc_info=shown
            )

    async def _source_ended(self, source: asyncio.Task[None]) -> None:
        """Wait for the source; once the stream is stopped, for a bounded time only."""
        await self._ended
        await asyncio.wait({source}, timeout=CLOSE_TIMEOUT)
        if not source.done():
            logger.warning("stream %r: the source ignores being closed", self.stream_id)
            _stragglers.add(source)
            source.add_done_callback(_stragglers.discard)

    async def _tell_owner(self, patience: float) -> None:
        """Call ``on_end``, once, before anybody can learn elsewhere that the stream is over."""
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            ending = await self._checked_ending()
            end = StreamEnd(self.stream_id, self.generation, ending, self.log)
            await tell_owner(on_end, end, patience)
        _resolve(self.stored)

    async def _checked_ending(self) -> Ending:
        """Return the ending, after a look whether another producer holds the id by now."""
        assert self.log.ending is not None  # noqa: S101
        if not self._superseded:
            try:
                async with asyncio.timeout(_LAST_MOMENT):
                    await self._claim.renew()
            except SupersededError:
                return Ending(Status.SUPERSEDED)
            except (BackendError, TimeoutError) as error:
                logger.debug("stream %r: its claim is not checked: %r", self.stream_id, error)
        return self.log.ending

    def _on_news(self) -> None:
        self._publisher.wake()

    def _on_cancel(self) -> None:
        self.stop(Ending(Status.CANCELLED))

    def _on_request(self, message: bytes) -> None:
        if self._run_task is None:
            if len(self._early) < _MAX_EARLY:
                self._early.append(message)
        elif not self._run_task.cancelling():  # else the event loop may be ending
            self._outgoing.handle(message)

    def _on_loss(self, loss: Loss) -> None:
        logger.debug("stream %r: requests may have been lost: %s", self.stream_id, loss)
        if self._run_task is None or not self._run_task.cancelling():
            self._lease.renew_now()
            self._outgoing.resync()

    async def _settle(self, patience: float, *, at_once: bool = False) -> Status:
        """Record the end where every instance finds it, then let the listeners know.

        With ``at_once`` they are told in a single message, and not served any more. Return what
        they are told.
        """
        ending = self.log.ending
        assert ending is not None  # noqa: S101
        if self.settled.done():
            return ending.status
        told = (
            ending
            if self._shared.options.disclose_errors
            else ending._replace(error_type=None, error_message=None)
        )
        if ending.status is not Status.SUPERSEDED:
            told = await record_end(
                self.stream_id, self._claim, self.log.end, told, self._shared.options, patience
            )
        logger.info(
            "stream %r: generation %d ended: %s", self.stream_id, self.generation, told.status
        )
        end = EndFrame(self.generation, self.log.end, told)
        if at_once or told.status is Status.SUPERSEDED:
            await self._publisher.dismiss(end)
        else:
            self._outgoing.announce(end)
        _resolve(self.settled)
        return told.status

    async def _release(self) -> None:
        self._kept.discard(self)
        await self._publisher.aclose()
        if self._subscription is not None:
            await self._subscription.aclose()
        for future in (self.stored, self.settled, self.drained, self.closed):
            _resolve(future)


def _failure(error: BaseException) -> Ending:
    return Ending(Status.FAILED, type(error).__name__, str(error), cause=error)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _cancel(task: asyncio.Task[None]) -> None:
    """Cancel and wait; what becomes of the task is its own business."""
    task.cancel()
    await asyncio.wait({task})
