"""The producer's side of the wire: answers listeners from the log, and follows the log live.

The publisher is one more cursor into the log. It holds no text of its own, so a broker that is slow
or away leaves no backlog: what was missed is pulled by the listeners afterwards.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from resumable_stream._backoff import Backoff
from resumable_stream._producing.followers import MAX_LISTENERS, Followers
from resumable_stream._producing.pieces import cut, piece_size
from resumable_stream._producing.replies import Replies
from resumable_stream._producing.v1_followers import V1Followers
from resumable_stream._protocol.names import live_id
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.wire import (
    DataFrame,
    EndFrame,
    Frame,
    Refusal,
    RefusalFrame,
    Request,
    RequestType,
    decode_request,
    encode_frame,
)
from resumable_stream._text.log import PACE
from resumable_stream.errors import AccessDeniedError, BackendError, BackendUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream._producing.claim import Claim
    from resumable_stream._producing.v1_audience import V1Audience
    from resumable_stream._shared import Shared
    from resumable_stream._text.log import Log

logger = logging.getLogger("resumable_stream")

# What is handed to the broker at a time; between batches the event loop runs.
_BATCH_BYTES = 512 * 1024
_FIRST_PAUSE = 0.1
_LEAST_WAIT = 0.001


class Publisher:
    """Serves the remote listeners of one stream; idle and without a task while there are none."""

    def __init__(
        self,
        stream_id: str,
        claim: Claim,
        log: Log,
        shared: Shared,
        audience: V1Audience,
        on_cancel: Callable[[], object],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._stream_id = stream_id
        self._claim = claim
        self._log = log
        self._pubsub = shared.backend
        self._names = shared.names
        self._options = shared.options
        self._on_cancel = on_cancel
        self._live_id = live_id(stream_id, claim.generation)
        self._live = Place(0)
        self._live_at = 0.0
        self._followers = Followers(stream_id, shared.options)
        self._replies = Replies(claim.generation, log, shared.options.unit)
        self._notices: dict[str, Frame] = {}
        self._cancellers: dict[str, None] = {}
        self._v1 = V1Followers(stream_id, log, shared, audience, self.wake)
        self._end: EndFrame | None = None
        self._end_told = False
        self._backoff: Backoff | None = None  # while publishing fails
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._left: asyncio.Event | None = None  # while somebody waits for the listeners to leave
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def handle(self, message: bytes) -> None:
        """Take in a message of the request channel."""
        request = decode_request(message)
        if request is None:
            logger.debug("stream %r: ignored a malformed request", self._stream_id)
        elif request.version == 1:
            # It names no generation: only who surely holds the claim may answer it.
            if self._may_answer() and not self._stopped:
                self._v1.enrol(request.listener_id, request.skip)
        elif request.type is RequestType.LEAVE:
            self._followers.remove(request.listener_id)
            self._replies.drop(request.listener_id)
        elif self._may_answer():
            if request.type is RequestType.CANCEL:
                self._cancellers[request.listener_id] = None
                self._on_cancel()
            else:
                self._enrol(request)
        self.wake()

    def wake(self) -> None:
        """Look for work; start the task if there is some and none is running."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._task is None and not self._stopped and (self._has_work() or self._listened_to()):
            self._task = self._loop.create_task(
                self._run(), name=f"resumable-stream publisher {self._stream_id!r}"
            )

    def resync(self) -> None:
        """After a gap: keep every listener enrolled, and tell them how far the stream is."""
        self._followers.keep_all()
        self._v1.doubt()
        self._live_at = 0.0
        self.wake()

    def announce(self, end: EndFrame) -> None:
        """The end is recorded, and listeners may be told."""
        self._end = end
        self._v1.end()
        self.wake()

    async def farewell(self) -> None:
        """Wait until every listener has got the end, or is gone, or no longer reads."""
        self._followers.progress()
        while self._task is not None and (self._listened_to() or self._has_work()):
            self._left = asyncio.Event()
            await self._left.wait()

    async def dismiss(self, end: EndFrame) -> None:
        """Stop serving, as a fenced producer: tell its own listeners so, once."""
        await self.aclose()
        if self._followers:
            message = encode_frame(self._live_id, end)
            try:
                await self._pubsub.publish(self._names.chunk(self._live_id), message)
            except BackendError as error:
                # They will find another generation in the sentinel.
                logger.debug("stream %r: could not dismiss: %s", self._stream_id, error)

    async def aclose(self) -> None:
        """Stop at once. Idempotent."""
        self._stopped = True
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait({task})
        await self._v1.aclose()

    def _may_answer(self) -> bool:
        return self._claim.held or self._end is not None

    def _listened_to(self) -> bool:
        return bool(self._followers or self._v1)

    def _has_work(self) -> bool:
        return bool(self._replies or self._notices or (self._end and self._cancellers))

    def _enrol(self, request: Request) -> None:
        listener = request.listener_id
        if request.generation not in (None, self._claim.generation):
            self._refuse(listener, RefusalFrame(self._claim.generation, Refusal.OTHER_GENERATION))
            return
        reply = self._replies.answer(request, first=listener not in self._followers)
        if not self._followers:
            self._live = Place(self._log.end)
            self._live_at = self._loop.time()
        # Who is refused leaves by itself, or misses it and asks again.
        enrolled = self._followers.enrol(listener, request.place)
        if isinstance(reply, RefusalFrame):
            self._refuse(listener, reply)
        elif enrolled and (request.window or self._end is not None):
            # A window of nothing only keeps the listener enrolled.
            self._replies.owe(listener, reply)

    def _refuse(self, listener: str, refusal: RefusalFrame) -> None:
        if len(self._notices) < MAX_LISTENERS:
            self._notices[listener] = refusal

    async def _run(self) -> None:
        try:
            while self._has_work() or self._listened_to():
                await self._wait_for_work()
                if self._backoff is None:  # else nobody could have been heard
                    self._followers.expire(ended=self._end is not None)
                await self._publish_batch()
                self._tell_who_left()
        except Exception:
            logger.exception("stream %r: serving its listeners failed", self._stream_id)
        finally:
            self._task = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._tell_who_left()

    def _tell_who_left(self) -> None:
        if self._left is not None:
            self._left.set()

    async def _wait_for_work(self) -> None:
        pacer = None
        if self._may_answer():
            now = self._loop.time()
            if self._has_work() or self._has_news() or self._beat_is_due(now):
                return
            if self._followers and self._live.sequence < self._log.end:
                # Sent at once, or together with what comes a moment after the last that was sent.
                if now >= self._live_at + PACE:
                    return
                pacer = self._loop.call_at(self._live_at + PACE, self.wake)
        self._waiter = self._loop.create_future()
        if pacer is None:
            self._watch_for_work()
        try:
            await self._waiter
        finally:
            if pacer is not None:
                pacer.cancel()
            self._log.unwatch(self._waiter)
            self._waiter = None

    def _watch_for_work(self) -> None:
        """Wake up at the next chunk, or for a heartbeat."""
        assert self._waiter is not None  # noqa: S101
        self._log.watch(self._waiter)
        if self._timer is None:
            now, interval = self._loop.time(), self._options.heartbeat_interval
            due = self._live_at + interval
            # A moment on, at least: timers go off a little early, and would at once again.
            due = max(due, now + _LEAST_WAIT) if due > now else now + interval
            self._timer = self._loop.call_at(due, self._tick)

    def _beat_is_due(self, now: float) -> bool:
        interval = self._options.heartbeat_interval
        return bool(self._followers) and now >= self._live_at + interval

    def _tick(self) -> None:
        self._timer = None
        self.wake()

    def _has_news(self) -> bool:
        """There is more than live text to tell."""
        if self._end is not None and not self._end_told:
            return True
        return self._v1.has_news()

    async def _publish_batch(self) -> None:
        if not self._may_answer():
            self._v1.doubt()
            return
        batch = self._batch()
        if not batch:
            self._v1.sent()
            await asyncio.sleep(0)
            return
        try:
            await self._pubsub.publish_many(batch)
        except BackendError as error:
            denied = isinstance(error, AccessDeniedError) and self._backoff is None
            level = logging.WARNING if denied else logging.DEBUG
            logger.log(level, "stream %r: publishing failed: %s", self._stream_id, error)
            # Listeners ask again for what they miss; only a TypeScript one cannot.
            unsent = isinstance(error, BackendUnavailableError)
            self._live = Place(self._log.end)
            self._end_told = False
            self._v1.failed(unsent=unsent)
            self._backoff = self._backoff or Backoff(_FIRST_PAUSE)
            await asyncio.sleep(self._backoff.next())
        else:
            self._v1.sent()
            if self._backoff is not None:
                self._backoff = None
                self.resync()

    def _batch(self) -> list[tuple[str, bytes]]:
        batch: list[tuple[str, bytes]] = []
        for listener, notice in self._notices.items():
            self._add(batch, listener, notice)
        self._notices.clear()
        size = self._add_live(batch)
        for listener, frame in self._replies.pieces(self._pubsub.max_message_size):
            size += self._add(batch, listener, frame)
            if self._end is not None and isinstance(frame, DataFrame) and frame.last:
                self._add(batch, listener, self._end)
            if size >= _BATCH_BYTES:
                break
        batch += self._v1.take(self._pubsub.max_message_size)
        if self._end is not None:
            for listener in self._cancellers:
                self._add(batch, listener, self._end)
            self._cancellers.clear()
        return batch

    def _add_live(self, batch: list[tuple[str, bytes]]) -> int:
        """Add what came since the last batch, or a heartbeat if nothing did for long."""
        if not self._followers:
            self._end_told = self._end is not None
            return 0
        now, end = self._loop.time(), self._log.end
        if self._live.sequence < self._log.first:
            self._live = Place(end)
        size, room = 0, piece_size(self._live_id, self._pubsub.max_message_size)
        due = self._beat_is_due(now)
        while self._live.sequence < end and size < _BATCH_BYTES:
            piece = cut(self._log, self._live, room)
            frame = DataFrame(
                self._claim.generation,
                self._live,
                piece.lengths,
                piece.payload,
                partial=piece.partial,
                end=end,
            )
            size += self._add(batch, self._live_id, frame)
            self._live, self._live_at, due = piece.after, now, False
        if self._end is not None and (due or not self._end_told):
            self._add(batch, self._live_id, self._end)
            self._end_told, self._live_at = True, now
        elif due:
            beat = DataFrame(self._claim.generation, Place(end), end=end)
            self._add(batch, self._live_id, beat)
            self._live_at = now
        return size

    def _add(self, batch: list[tuple[str, bytes]], listener: str, frame: Frame) -> int:
        message = encode_frame(listener, frame)
        batch.append((self._names.chunk(listener), message))
        return len(message)
