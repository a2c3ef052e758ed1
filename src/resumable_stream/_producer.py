"""One producer's run of a stream: claim, drive the source, keep the lease, end truthfully."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from resumable_stream._log import Ending, Log, Status
from resumable_stream._options import CLOSE_TIMEOUT, staggered
from resumable_stream._publisher import Publisher
from resumable_stream._sentinel import Claim, SupersededError
from resumable_stream._source import Source
from resumable_stream._wire import EndFrame
from resumable_stream.errors import BackendError, InvalidSourceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resumable_stream._options import Options
    from resumable_stream._sentinel import Names
    from resumable_stream._source import MakeStream
    from resumable_stream._ticks import Ticks
    from resumable_stream.ports import Backend, Loss, Subscription

logger = logging.getLogger("resumable_stream")

# A source that never waits gives way to the event loop after this many seconds.
_MAX_HOLD = 0.0005
_CHECK_HOLD_EVERY = 32
_MIN_PAUSE = 0.05
_MAX_PAUSE = 1.0
# More requests than this, made while the claim is being taken, must be made again.
_MAX_EARLY = 1024

# Sources that did not close in time: referenced until they do.
_stragglers: set[asyncio.Task[None]] = set()


class Producer:
    """Runs from ``start`` to its end by itself, whether or not anybody reads.

    Attributes:
        log: the text; local readers are cursors into it.
        closed: done once everything is ended and released. Never raises.
    """

    def __init__(
        self,
        stream_id: str,
        claim: Claim,
        backend: Backend,
        names: Names,
        options: Options,
        ticks: Ticks,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.stream_id = stream_id
        self.generation = claim.generation
        self.log = Log(options.buffer_limit)
        self.closed: asyncio.Future[None] = loop.create_future()
        self.settled: asyncio.Future[None] = loop.create_future()
        self._claim = claim
        self._backend = backend
        self._request_channel = names.request(stream_id)
        self._options = options
        self._ticks = ticks
        self._publisher = Publisher(
            stream_id,
            claim,
            self.log,
            backend,
            names,
            options,
            on_cancel=lambda: self.stop(Ending(Status.CANCELLED)),
        )
        self._subscription: Subscription | None = None
        self._early: list[bytes] = []
        # Futures, of which an idle stream has few: an event takes a kilobyte.
        self._ended: asyncio.Future[None] = loop.create_future()
        self._renewal: asyncio.Future[None] | None = None
        self._renewal_due = False
        self._tick = 0
        self._source: asyncio.Task[None] | None = None
        self._run_task: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        """Subscribe to requests, before the claim is taken and can be seen.

        A TypeScript listener that finds the claim asks once, and gives up if it is not heard.
        """
        self._subscription = await self._backend.subscribe(
            self._request_channel, self._on_request, self._on_loss
        )

    async def abandon(self) -> None:
        """Listen no more: the claim was not won, and nothing was started."""
        if self._subscription is not None:
            await self._subscription.aclose()

    def start(self, make_stream: MakeStream) -> None:
        """Begin, with the claim won; returns at once."""
        loop = asyncio.get_running_loop()
        name = f"resumable-stream producer {self.stream_id!r}"
        self._source = loop.create_task(self._drive(make_stream), name=f"{name} source")
        self._run_task = loop.create_task(self._run(self._source), name=name)
        logger.info("stream %r: generation %d started", self.stream_id, self.generation)
        early, self._early = self._early, []
        for request in early:
            self._publisher.handle(request)

    def stop(self, ending: Ending) -> bool:
        """End the stream now and close the source; False if it had ended already."""
        if not self._finish(ending):
            return False
        if self._source is not None:
            self._source.cancel()
        return True

    def _finish(self, ending: Ending) -> bool:
        if not self._ended.done():
            self._ended.set_result(None)
        return self.log.finish(ending)

    async def _run(self, source: asyncio.Task[None]) -> None:
        keeper = asyncio.create_task(self._keep_claim(), name=f"{source.get_name()} lease")
        try:
            await self._source_ended(source)
            await _cancel(keeper)
            await self._settle(self._options.outage_timeout + self._options.lease)
            await self._publisher.farewell()
        except asyncio.CancelledError:
            # The event loop is being shut down: say so while there is still a moment.
            self.stop(Ending(Status.LOST))
            await _cancel(keeper)
            source.cancel()
            await asyncio.wait({source}, timeout=_MAX_PAUSE)
            await self._settle(_MAX_PAUSE)
            raise
        finally:
            await self._release(keeper)

    async def _drive(self, make_stream: MakeStream) -> None:
        try:
            async with Source(make_stream) as chunks:
                await self._fill_log(chunks)
                self._finish(Ending(Status.COMPLETED))
        except asyncio.CancelledError as error:
            if self.log.ending is None:
                # Not ours: the source's own, or the event loop's at shutdown.
                task = asyncio.current_task()
                lost = task is not None and task.cancelling()
                self._finish(Ending(Status.LOST) if lost else _failure(error))
            raise
        except Exception as error:
            if self._finish(_failure(error)):
                logger.info(
                    "stream %r: the source failed: %s", self.stream_id, type(error).__name__
                )
            else:
                logger.warning(
                    "stream %r: the source raised on closing", self.stream_id, exc_info=error
                )

    async def _fill_log(self, chunks: AsyncIterator[str]) -> None:
        log, clock = self.log, asyncio.get_running_loop().time
        resumed, unchecked = clock(), _CHECK_HOLD_EVERY
        async for chunk in chunks:
            if log.ending is not None:
                return
            if not isinstance(chunk, str):
                raise InvalidSourceError(
                    f"the source yielded {type(chunk).__name__}: yield str, such as chunk.decode()"
                )
            log.append(chunk)
            unchecked -= 1
            if not unchecked:
                unchecked = _CHECK_HOLD_EVERY
                if clock() - resumed > _MAX_HOLD:
                    await asyncio.sleep(0)
                    resumed = clock()

    async def aclose(self) -> None:
        """Release everything soon, though listeners may not have got the end yet."""
        if self._run_task is not None:
            await asyncio.wait({self._run_task}, timeout=_MAX_PAUSE)
            await _cancel(self._run_task)

    async def _source_ended(self, source: asyncio.Task[None]) -> None:
        """Wait for the source; once the stream is stopped, for a bounded time only."""
        await self._ended
        await asyncio.wait({source}, timeout=CLOSE_TIMEOUT)
        if not source.done():
            logger.warning("stream %r: the source ignores being closed", self.stream_id)
            _stragglers.add(source)
            source.add_done_callback(_stragglers.discard)

    async def _keep_claim(self) -> None:
        """Renew the lease until the stream ends."""
        loop = asyncio.get_running_loop()
        # A claim that was long in coming may not be sure any more.
        wait = self._options.renew_interval * staggered(self.generation)
        wait, failures = wait if self._claim.held else 0, 0
        while True:
            if not self._renewal_due:
                self._renewal = loop.create_future()
                # Those that fall due at about the same time go in one message.
                self._tick = self._ticks.call_later(wait, self._renew_soon)
                try:
                    await self._renewal
                except asyncio.CancelledError:
                    self._ticks.cancel(self._tick, self._renew_soon)
                    raise
            self._renewal_due = False
            try:
                if await self._claim.renew():
                    self._publisher.wake()
                wait, failures = self._options.renew_interval, 0
            except SupersededError:
                logger.warning(
                    "stream %r: generation %d was superseded", self.stream_id, self.generation
                )
                self.stop(Ending(Status.SUPERSEDED))
                return
            except BackendError as error:
                failures += 1
                wait = min(_MAX_PAUSE, _MIN_PAUSE * 2 ** min(failures, 10))
                logger.debug("stream %r: lease not renewed: %s", self.stream_id, error)

    def _renew_soon(self) -> None:
        self._renewal_due = True
        if self._renewal is not None and not self._renewal.done():
            self._renewal.set_result(None)

    def _on_request(self, message: bytes) -> None:
        if self._run_task is not None:
            self._publisher.handle(message)
        elif len(self._early) < _MAX_EARLY:
            self._early.append(message)

    def _on_loss(self, loss: Loss) -> None:
        logger.debug("stream %r: requests may have been lost: %s", self.stream_id, loss)
        self._ticks.cancel(self._tick, self._renew_soon)
        self._renew_soon()
        self._publisher.resync()

    async def _settle(self, patience: float) -> None:
        """Record the end where every instance finds it, then let the listeners know."""
        if self.settled.done():
            return
        ending = self.log.ending
        assert ending is not None  # noqa: S101
        told = (
            ending
            if self._options.disclose_errors
            else ending._replace(error_type=None, error_message=None)
        )
        if ending.status is not Status.SUPERSEDED:
            told = await self._record(told, asyncio.get_running_loop().time() + patience)
        logger.info(
            "stream %r: generation %d ended: %s", self.stream_id, self.generation, told.status
        )
        end = EndFrame(self.generation, self.log.end, told)
        if told.status is Status.SUPERSEDED:
            await self._publisher.dismiss(end)
        else:
            self._publisher.announce(end)
        if not self.settled.done():
            self.settled.set_result(None)

    async def _record(self, ending: Ending, deadline: float) -> Ending:
        clock, pause = asyncio.get_running_loop().time, _MIN_PAUSE
        while True:
            try:
                await self._claim.finish(self.log.end, ending)
            except SupersededError:
                logger.warning("stream %r: ended, but was superseded", self.stream_id)
                return Ending(Status.SUPERSEDED)
            except BackendError as error:
                if clock() + pause > deadline:
                    logger.error(  # noqa: TRY400 - a traceback tells no more
                        "stream %r: its end could not be recorded: %s", self.stream_id, error
                    )
                    return ending
                await asyncio.sleep(pause)
                pause = min(_MAX_PAUSE, pause * 2)
            else:
                return ending

    async def _release(self, keeper: asyncio.Task[None]) -> None:
        await _cancel(keeper)
        await self._publisher.aclose()
        if self._subscription is not None:
            await self._subscription.aclose()
        for future in (self.settled, self.closed):
            if not future.done():
                future.set_result(None)


def _failure(error: BaseException) -> Ending:
    return Ending(Status.FAILED, type(error).__name__, str(error), cause=error)


async def _cancel(task: asyncio.Task[None]) -> None:
    """Cancel and wait; an error other than the cancellation is the task's own business."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("task %s failed", task.get_name(), exc_info=error)
