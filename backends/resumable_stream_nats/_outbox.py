"""Messages on their way out: sent in the order of the calls, and confirmed by the server."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import chain, starmap
from typing import TYPE_CHECKING

import nats.errors

from resumable_stream.adapter_kit import Worker
from resumable_stream.errors import BackendError, BackendUnavailableError, MessageTooLargeError
from resumable_stream_nats import _driver
from resumable_stream_nats._errors import again, closed, ending, failed, lost, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable_stream_nats._line import Line, Watch
    from resumable_stream_nats._link import Link

# What is sent before the server must confirm. Small enough that a lost connection leaves few calls
# in doubt.
_BATCH_BYTES = 256 * 1024

_BATCH_MESSAGES = 1024

# A call held up by others waits longer than the time-out: so many times.
_PATIENCE = 4


class _Call:
    """Some messages published together."""

    def __init__(self, messages: Sequence[tuple[str, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        self.messages = messages
        self.done: asyncio.Future[None] = loop.create_future()
        self.began = loop.time()
        self.sent = False

    @property
    def size(self) -> int:
        return sum(len(message) for _, message in self.messages)

    def succeed(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, error: BackendError) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def withdraw(self) -> None:
        """Nobody waits any longer; what is not yet sent will not be."""
        if self.done.done():
            self.done.exception()  # retrieved, lest asyncio report it as forgotten
        else:
            self.done.cancel()


class Outbox:
    """One writer for all calls.

    A publish on NATS is not answered. So that none is lost without a word, the writer has the
    server confirm each batch, and gathers meanwhile what comes into the next.
    """

    def __init__(self, link: Link, timeout: float) -> None:
        self._link = link
        self._timeout = timeout
        self._queue: deque[_Call] = deque()
        self._unanswered: deque[_Call] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._worker = Worker(
            self._run, "resumable-stream nats messages", self._drop_withdrawn, self._ended
        )

    @property
    def cut_off(self) -> bool:
        """The event loop is being shut down."""
        return self._worker.cut_off

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish the messages, adjacent and in order; each is a subject and a payload.

        The place in the order is taken before the first suspension.
        """
        if self._worker.over:
            raise self._over()
        call = _Call(messages)
        self._queue.append(call)
        self._unanswered.append(call)
        if self._timer is None:
            self._check_later(call)
        self._worker.begin()
        try:
            await call.done
        finally:
            call.withdraw()
            while self._unanswered and self._unanswered[0].done.done():
                self._unanswered.popleft()

    async def aclose(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._worker.stop()

    def _check_later(self, call: _Call) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(call.began + _PATIENCE * self._timeout, self._check)

    def _check(self) -> None:
        """Fail the calls that have waited for too long; one timer serves them all."""
        overdue = asyncio.get_running_loop().time() - _PATIENCE * self._timeout
        self._timer = None
        for call in self._unanswered:
            if call.done.done():
                continue
            if call.began > overdue:
                self._check_later(call)
                return
            cause = TimeoutError("not sent and confirmed in time")
            call.fail(lost(cause, write=call.sent))

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._drop_withdrawn():
            try:
                line = await self._link.reach(loop.time() + self._timeout)
            except BackendError as error:
                self._fail_queue(error)
                continue
            if batch := self._next_batch(line.max_message_size):
                await self._send(line, batch)

    def _ended(self, error: BaseException | None) -> None:
        if self._worker.over:
            self._fail_queue(self._over())
        elif error is not None:
            self._fail_queue(failed(error))

    def _over(self) -> BackendUnavailableError:
        return ending() if self.cut_off else closed()

    async def _send(self, line: Line, batch: list[_Call]) -> None:
        loop = asyncio.get_running_loop()
        messages = [message for call in batch for message in call.messages]
        subjects = {subject for subject, _ in messages}
        commands = [*chain.from_iterable(starmap(_driver.publication, messages))]
        cause: BaseException = ConnectionAbortedError("the backend was closed")
        try:
            with line.watch("publish", subjects) as watch:
                await line.confirm(commands, until=loop.time() + self._timeout)
            for call in batch:
                _settle(call, watch)
        except TimeoutError as error:
            cause = error
            line.fail(error)
        except (nats.errors.Error, OSError) as error:
            cause = error
        finally:
            for call in batch:
                call.fail(lost(cause, write=True))

    def _next_batch(self, limit: int) -> list[_Call]:
        batch: list[_Call] = []
        size = count = 0
        while self._drop_withdrawn() and size < _BATCH_BYTES and count < _BATCH_MESSAGES:
            call = self._queue.popleft()
            largest = max((len(message) for _, message in call.messages), default=0)
            if largest > limit:
                call.fail(
                    MessageTooLargeError(
                        f"a message of {largest} bytes exceeds max_message_size {limit}"
                    )
                )
                continue
            call.sent = True
            batch.append(call)
            size += call.size
            count += len(call.messages)
        return batch

    def _drop_withdrawn(self) -> bool:
        """Drop what nobody waits for any more from the head; tell whether anything is left."""
        while self._queue and self._queue[0].done.done():
            self._queue.popleft()
        return bool(self._queue)

    def _fail_queue(self, error: BackendError) -> None:
        while self._queue:
            self._queue.popleft().fail(again(error))


def _settle(call: _Call, watch: Watch) -> None:
    if watch.quiet:
        call.succeed()
        return
    denials = [watch.denial_of(subject) for subject, _ in call.messages]
    found = next((denial for denial in denials if denial is not None), None)
    if found is None:
        call.succeed()
    elif all(denials):
        call.fail(refused(found))
    else:
        call.fail(lost(found, write=True))
