"""What every reader of a producer elsewhere has in common: a bounded queue filled by one task."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections import deque
from enum import Enum, auto
from itertools import chain
from typing import TYPE_CHECKING

from resumable_stream._protocol.whereabouts import Unknown, look_up
from resumable_stream._reading.runs import RunReader
from resumable_stream._text.endings import error_of
from resumable_stream._text.offsets import Skip, length
from resumable_stream.errors import (
    AccessDeniedError,
    BackendError,
    BackendFaultError,
    BackendUnavailableError,
    ContextClosedError,
    HandshakeTimeoutError,
    InvalidOffsetError,
    ProducerLostError,
    ResumableStreamError,
    WrongKeyTypeError,
)
from resumable_stream.ports import Loss

if TYPE_CHECKING:
    from resumable_stream._protocol.places import Start
    from resumable_stream._protocol.whereabouts import Whereabouts
    from resumable_stream._shared import Shared
    from resumable_stream._text.endings import Ending
    from resumable_stream.ports import Subscription

logger = logging.getLogger("resumable_stream")

# What a queued chunk counts beside its text, so that empty ones are bounded too.
CHUNK_COST = 64
# Chunks per run; window space is given back a run at a time.
_RUN_CHUNKS = 256
# Before attaching, retry fast: the producer may not have subscribed yet. Afterwards an answer may
# just as well be on its way over a slow link.
_FIRST_PAUSE = 0.03
_NEXT_PAUSE = 0.25
_MAX_PAUSE = 1.0
_LEAVE_TIMEOUT = 2.0
# A broker that takes longer than this to answer, or than a fifth of a lease, may have stood still.
_SLOW = 1.0

# What does not pass by itself.
_LASTING = (AccessDeniedError, BackendFaultError, WrongKeyTypeError)


class Attached(Enum):
    """What came of a handshake."""

    YES = auto()
    MOVED = auto()
    """The sentinel says something else by now: look again."""


class RemoteReader(RunReader):
    """Reads a stream over the broker: ``attach`` starts its task, the end or ``close`` ends it."""

    __slots__ = (
        "_asking_since",
        "_attached",
        "_began",
        "_changed",
        "_cost",
        "_disturbed_at",
        "_error",
        "_handshake_timeout",
        "_heard",
        "_loop",
        "_options",
        "_outage_since",
        "_over",
        "_pause",
        "_reading",
        "_ready",
        "_releasing",
        "_run_cost",
        "_shared",
        "_skip",
        "_start",
        "_subscriptions",
        "_task",
        "_unread",
        "stream_id",
    )

    def __init__(self, stream_id: str, shared: Shared, start: Start) -> None:
        options = shared.options
        super().__init__(start.offset, options.unit)
        self._loop = asyncio.get_running_loop()
        self.stream_id = stream_id
        self._shared = shared
        self._options = options
        self._start = start
        self._handshake_timeout = options.handshake_timeout
        self._skip = Skip(0, options.unit)
        self._ready: deque[tuple[list[str], int]] = deque()  # runs to come, and their cost
        self._unread = 0  # how many chunks they have
        self._run_cost = 0  # of the run that is being read
        self._cost = 0  # of that and of those to come
        self._over = False
        self._releasing = False
        self._error: ResumableStreamError | None = None
        self._reading: dict[asyncio.Future[None], None] = {}
        self._attached: asyncio.Future[Attached] = self._loop.create_future()
        self._changed = asyncio.Event()
        self._subscriptions: list[Subscription] = []
        self._task: asyncio.Task[None] | None = None
        self._began = self._heard = self._loop.time()
        self._asking_since: float | None = None
        self._outage_since: float | None = None
        self._disturbed_at = -float("inf")
        self._pause = _FIRST_PAUSE

    @property
    @abstractmethod
    def last_event_id(self) -> str | None: ...

    async def attach(self) -> Attached:
        """Shake hands with the producer, as a task of the background.

        Raises what the producer refused, or ``HandshakeTimeoutError``, or a ``BackendError``.
        """
        self._task = self._shared.background.start(
            self._follow(), f"resumable-stream listener {self.stream_id!r}"
        )
        # A task that is cancelled before it begins runs nothing of itself.
        self._task.add_done_callback(lambda _task: self._end(_closed_under_it()))
        try:
            attached = await self._attached
        except asyncio.CancelledError:
            self.close()
            raise
        if attached is not Attached.YES:
            await self.aclose()
        elif self._error is not None and not self._unread:
            await self.aclose()
            raise self._error
        return attached

    async def _next_run(self) -> None:
        while self._read == len(self._run):
            if self._run:
                self._let_go()
            if self._ready:
                run, self._run_cost = self._ready.popleft()
                self._unread -= len(run)
                self._begin_run(run)
                return
            if self._error is not None:
                raise self._error
            if self._over:
                raise StopAsyncIteration
            waiter = self._loop.create_future()
            self._reading[waiter] = None
            try:
                await waiter
            finally:
                self._reading.pop(waiter, None)

    def _let_go(self) -> None:
        """The run has been read: there is room for more."""
        half, before = self._options.window // 2, self._cost
        self._cost -= self._run_cost
        self._begin_run([])
        if self._cost <= half < before:
            self._changed.set()

    def close(self) -> None:
        """Leave the stream: what the task has opened is released by the task itself."""
        self._end()
        self._ready.clear()
        self._unread = 0
        self._begin_run([])
        if self._task is not None and not self._releasing:
            self._task.cancel()

    async def aclose(self) -> None:
        self.close()
        if self._task is not None and self._task is not asyncio.current_task():
            await asyncio.wait({self._task})

    @abstractmethod
    async def _open(self) -> None:
        """Subscribe."""

    @abstractmethod
    async def _act(self) -> float:
        """Do what is due; return for how many seconds nothing else is."""

    @abstractmethod
    async def _leave(self) -> None:
        """Tell the producer that this reader is gone."""

    async def _follow(self) -> None:
        try:
            await self._open()
            while not self._over:
                self._changed.clear()
                wait = await self._act()
                try:
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
                except TimeoutError:
                    pass
        except asyncio.CancelledError:
            # By ``close`` it is over already; else the context or the event loop goes.
            if not self._over:
                self._shared.background.notice_end()
            self._end(_closed_under_it())
            raise
        except BackendError as error:
            self._end(error)
        except Exception:
            logger.exception("stream %r: reading failed", self.stream_id)
            self._end(ProducerLostError(self.stream_id, self._received()))
        finally:
            self._end()
            await self._release()

    async def _release(self) -> None:
        self._releasing = True
        for subscription in self._subscriptions:
            await subscription.aclose()
        try:
            async with asyncio.timeout(_LEAVE_TIMEOUT):
                await self._leave()
        except (BackendError, TimeoutError) as error:
            # It will be missed, and expire.
            logger.debug("stream %r: left without a word: %r", self.stream_id, error)

    def _received(self) -> int:
        """The offset after all that has come, read or not."""
        unread = chain(self._run[self._read :], *(run for run, _ in self._ready))
        return self.offset + length("".join(unread), self._unit)

    def _room(self) -> int:
        return self._options.window - self._cost

    def _deliver(self, chunks: list[str]) -> None:
        if self._over:
            return
        if self._skip.remaining:
            try:
                chunks = self._skip.feed_all(chunks)
            except InvalidOffsetError as error:
                self._end(error)
                return
        if chunks:
            if len(chunks) <= _RUN_CHUNKS:
                self._queue(chunks)
            else:
                for at in range(0, len(chunks), _RUN_CHUNKS):
                    self._queue(chunks[at : at + _RUN_CHUNKS])
            self._wake_readers()

    def _queue(self, run: list[str]) -> None:
        cost = sum(map(len, run)) + len(run) * CHUNK_COST
        self._ready.append((run, cost))
        self._unread += len(run)
        self._cost += cost

    def _end(self, error: ResumableStreamError | None = None) -> None:
        """Nothing more will come; what has come is still read first."""
        if not self._over:
            self._over = True
            self._error = error
            self._answer(Attached.YES)
            self._changed.set()
            self._wake_readers()

    def _end_as(self, ending: Ending) -> None:
        self._end(error_of(self.stream_id, ending, self._received()))

    def _answer(self, attached: Attached) -> None:
        if not self._attached.done():
            self._attached.set_result(attached)

    def _wake_readers(self) -> None:
        for waiter in self._reading:
            if not waiter.done():
                waiter.set_result(None)

    def _listen_again(self) -> None:
        """Something was heard of the producer."""
        self._heard = self._loop.time()
        self._asking_since = None
        self._pause = _NEXT_PAUSE

    def _next_pause(self) -> float:
        pause = self._pause
        self._pause = min(_MAX_PAUSE, pause * 2)
        return pause

    def _on_loss(self, loss: Loss) -> None:
        self._disturbed_at = self._loop.time()
        if loss is Loss.CLOSED:
            self._end(BackendUnavailableError("the backend was closed under its reader"))
        self._changed.set()

    def _broker_failed(self, error: BackendError) -> None:
        """Tolerate an outage for ``outage_timeout``, or ``handshake_timeout`` before attaching."""
        if isinstance(error, _LASTING) and not self._attached.done():
            self._end(error)  # whoever has not begun learns at once what would not change
            return
        now = self._loop.time()
        self._disturbed_at = now
        self._asking_since = None
        if self._outage_since is None:
            self._outage_since = now
        patience = (
            self._options.outage_timeout if self._attached.done() else self._handshake_timeout
        )
        if now - self._outage_since >= patience:
            if not isinstance(error, _LASTING):
                error = BackendUnavailableError(
                    f"the broker has been away for {patience:g} s: {error}"
                )
            self._end(error)

    def _broker_answered(self, asked: float) -> None:
        """A call made at ``asked`` was answered. That it took long is trouble, too."""
        self._outage_since = None
        now = self._loop.time()
        if now - asked > min(_SLOW, self._options.lease / 5):
            self._disturbed_at = now

    async def _check(self) -> None:
        """Nobody answers: find out from the sentinel why."""
        asked = self._loop.time()
        try:
            where = await look_up(self._shared.backend, self._shared.names, self.stream_id)
        except BackendError as error:
            self._broker_failed(error)
            return
        self._broker_answered(asked)
        if self._attached.done():
            self._judge(where)
            return
        now = self._loop.time()
        if not self._same(where):
            self._answer(Attached.MOVED)
            self._end()
        elif now - self._began >= self._handshake_timeout:
            self._end(
                HandshakeTimeoutError(self.stream_id, self._start.offset, self._handshake_timeout)
            )

    @abstractmethod
    def _same(self, where: Whereabouts) -> bool:
        """Tell whether the stream is still where this reader reads it."""

    @abstractmethod
    def _judge(self, where: Whereabouts) -> None:
        """End, if that says so or the producer has been silent for too long."""

    def _given_up(self, where: Whereabouts, patience: float) -> bool:
        """The sentinel has gone, or requests stay unanswered for ``patience``: nobody is there.

        Just after trouble with the broker neither proves anything yet, for the length of one lease.
        """
        now, lease = self._loop.time(), self._options.lease
        if now - self._disturbed_at < lease:
            return now - self._heard > self._options.outage_timeout + lease
        asked = self._asking_since
        return isinstance(where, Unknown) or (asked is not None and now - asked >= patience)

    @property
    def _patience(self) -> float:
        """How long silence is normal."""
        return self._options.lease / 2


def _closed_under_it() -> ContextClosedError:
    return ContextClosedError("the context was closed under its reader")
