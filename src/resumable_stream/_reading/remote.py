"""Read a stream that is produced elsewhere."""

from __future__ import annotations

import asyncio
from itertools import chain
from operator import length_hint
from typing import TYPE_CHECKING

from resumable_stream._protocol.whereabouts import look_up
from resumable_stream._reading.attachment import Joined, Moved, Refused
from resumable_stream._reading.liveness import Verdict
from resumable_stream._reading.reader_task import ReaderTask
from resumable_stream._reading.runs import RunReader
from resumable_stream._reading.unread import Unread
from resumable_stream._text.endings import Ending, Status, error_of
from resumable_stream._text.offsets import length
from resumable_stream.errors import (
    AccessDeniedError,
    BackendError,
    BackendFaultError,
    BackendUnavailableError,
    HandshakeTimeoutError,
    InvalidOffsetError,
    OffsetOutOfRangeError,
    ProducerLostError,
    ResumableStreamError,
    WrongKeyTypeError,
)
from resumable_stream.ports import Loss

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream._protocol.places import Start
    from resumable_stream._protocol.wire import DataFrame
    from resumable_stream._reading.attachment import Attachment
    from resumable_stream._reading.dialect import Dialect
    from resumable_stream._reading.fallback import Fallback
    from resumable_stream._reading.liveness import Liveness
    from resumable_stream._shared import Shared
    from resumable_stream.errors import StreamError

# Chunks after which a reader gives way, so that its task can ask for more meanwhile.
_YIELD_EVERY = 2048
# Errors that do not pass by themselves.
_LASTING = (AccessDeniedError, BackendFaultError, WrongKeyTypeError)


class RemoteReader(RunReader):
    """Reads a stream over the broker: ``attach`` starts its task, the end or ``close`` ends it.

    Args:
        shared: what the instance shares.
        stream_id: which stream.
        start: where to begin.
        liveness: of the producer.
        speak: makes the dialect for this reader.

    Attributes:
        task: what acts for it, and is woken when something may be due.
        fallback: what is read once the producer is lost, or has dropped the text, if anything.
    """

    __slots__ = (
        "_attached",
        "_dialect",
        "_left_at",
        "_placed",
        "fallback",
        "liveness",
        "loop",
        "shared",
        "start",
        "stream_id",
        "task",
        "unread",
    )

    def __init__(
        self,
        shared: Shared,
        stream_id: str,
        start: Start,
        liveness: Liveness,
        speak: Callable[[RemoteReader], Dialect],
    ) -> None:
        options = shared.options
        super().__init__(start.offset, options.unit)
        self.loop = asyncio.get_running_loop()
        self.shared = shared
        self.stream_id = stream_id
        self.start = start
        self.liveness = liveness
        self.unread = Unread(options.window, options.unit)
        self._attached: asyncio.Future[Attachment] = self.loop.create_future()
        self._left_at: str | None = None
        self._placed = start.event_id is None  # the offset is the place's
        self.fallback: Fallback | None = None
        self._dialect = speak(self)
        self.task = ReaderTask(self, self._dialect)

    # For the caller

    @property
    def last_event_id(self) -> str | None:
        if self._left_at is not None:
            return self._left_at
        unread = len(self._run) - self._read
        if self.fallback is not None and (after := self.fallback.after) is not None:
            sequence = after.sequence - unread
            cut = sequence == self.fallback.unnamed
            return None if cut else str(after._replace(sequence=sequence))
        unread += self.unread.count
        return self._dialect.event_id(unread, begun=self._begun or self._read > 0)

    async def attach(self) -> Attachment:
        """Shake hands with the producer."""
        self.task.begin()
        try:
            attachment = await self._attached
        except asyncio.CancelledError:
            self.close()
            raise
        if isinstance(attachment, Joined) and self.unread.error and not self.unread.count:
            attachment = Refused(self.unread.error)  # it has ended since, with nothing to read
        if not isinstance(attachment, Joined):
            await self.aclose()
        return attachment

    @property
    def left(self) -> bool:
        return self.task.releasing and (self.fallback is None or self.fallback.left)

    def close(self) -> None:
        """Leave the stream: what the task has opened is released by the task itself."""
        self._left_at = self.last_event_id
        self.end()
        self.unread.clear()
        self._begin_run([])
        if self.fallback is not None:
            self.fallback.close()
        self.task.leave()

    async def aclose(self) -> None:
        self.close()
        if self.fallback is not None:
            await self.fallback.aclose()
        await self.task.wait()

    async def fetch(self) -> None:
        while not self._begin_next():
            self._drop_run()  # what was read is not held while nothing comes
            try:
                await self.unread.arrival()
            except (OffsetOutOfRangeError, ProducerLostError) as error:
                await self._leave_producer(error)
            if length_hint(self.ahead):
                return  # to another caller
        if self._unbroken >= _YIELD_EVERY:
            await self._give_way()

    async def _leave_producer(self, why: StreamError) -> None:
        """Begin a run of what the producer no longer gives."""
        if self.fallback is None:
            raise why
        if not self._placed and self.last_event_id is None:
            raise why
        if run := await self.fallback.next_run(self, why):
            if not self._placed:
                self.start_at(self.fallback.offset - length("".join(run), self._unit))
            self._begin_run(run)

    def _begin_next(self) -> bool:
        unread = self.unread
        if self._run and unread.give_back():
            self.task.wake()
        if not unread.count or (taken := unread.take()) is None:
            return False
        self._begin_run(*taken)
        return True

    # For the dialect

    def start_at(self, offset: int) -> None:
        """Count from this offset: where an event id lies in the text, only the producer knows."""
        self._offset, self._placed = offset, True

    def join(self) -> None:
        """The producer has answered the handshake."""
        if not self.liveness.attached:
            self._decide(Joined())
        self.liveness.attach()

    def deliver(self, chunks: list[str] | DataFrame) -> None:
        """Hand over the chunks that come next in the text, those of a whole frame or others."""
        try:
            self.unread.put(chunks)
        except InvalidOffsetError as error:
            self.end(error)

    def end(self, error: ResumableStreamError | None = None) -> None:
        """End the text: what has come is read first, then the error is raised."""
        if not self.unread.over:
            self._decide(Refused(error) if error is not None else Joined())
            self.task.wake()
            self.unread.end(error)

    def end_as(self, ending: Ending) -> None:
        """End the text as the stream has ended."""
        self.end(error_of(self.stream_id, ending, self.received()))

    def received(self) -> int:
        """Count the offset after all that has come, read or not."""
        unread = chain(self._run[self._read :], self.unread)
        return self.offset + length("".join(unread), self._unit)

    def on_loss(self, loss: Loss) -> None:
        """Messages may have been lost."""
        self.liveness.disturbed(self.loop.time())
        if loss is Loss.CLOSED:
            self.end(BackendUnavailableError("the backend was closed under its reader"))
        self.task.wake()

    def broker_failed(self, error: BackendError) -> None:
        """Tolerate the failure, unless the broker has been away for too long."""
        lasting = isinstance(error, _LASTING)
        verdict = self.liveness.failed(self.loop.time(), lasting=lasting)
        if verdict is Verdict.UNAVAILABLE:
            if not lasting:
                away = f"the broker has been away for {self.liveness.tolerance:g} s"
                error = BackendUnavailableError(f"{away}: {error}")
            self.end(error)

    async def check(self) -> None:
        """Look up where the stream is, since nobody answers, and end if that says so."""
        asked = self.loop.time()
        try:
            where = await look_up(self.shared.backend, self.shared.names, self.stream_id)
        except BackendError as error:
            self.broker_failed(error)
            return
        now = self.loop.time()
        self.liveness.answered(asked, now)
        match self.liveness.weigh(self._dialect.sight(where), now):
            case Verdict.LOST:
                self.end_as(Ending(Status.LOST))
            case Verdict.MOVED if self.liveness.attached:
                self.end_as(Ending(self._dialect.replaced))
            case Verdict.MOVED:
                self._decide(Moved())
                self.end()
            case Verdict.TIMED_OUT:
                timeout = self.liveness.handshake_timeout
                self.end(HandshakeTimeoutError(self.stream_id, self.start.offset, timeout))

    def _decide(self, attachment: Attachment) -> None:
        if not self._attached.done():
            self._attached.set_result(attachment)
