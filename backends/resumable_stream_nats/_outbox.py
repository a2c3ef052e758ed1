"""Messages on their way out: sent in the order of the calls, and confirmed by the server."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from itertools import starmap
from typing import TYPE_CHECKING

import nats.errors

from resumable_stream.adapter_kit import PROGRAM_ERRORS, Call, Calls, Worker, again
from resumable_stream.errors import BackendError, MessageTooLargeError
from resumable_stream_nats import _driver
from resumable_stream_nats._errors import BACKEND, failed, lost, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable_stream_nats._line import Line
    from resumable_stream_nats._link import Link
    from resumable_stream_nats._watch import Watch

    Messages = Sequence[tuple[str, bytes]]

# What is sent before the server has confirmed some of it: little enough that a lost connection
# leaves few calls in doubt.
_DOUBTFUL_BYTES = 256 * 1024
_DOUBTFUL_MESSAGES = 1024

# A call behind others may wait for this many time-outs.
_PATIENCE = 4


class _Batch:
    """Calls whose messages are sent by one write, and confirmed together."""

    __slots__ = ("calls", "count", "size")

    def __init__(self) -> None:
        self.calls: list[tuple[Messages, Call[None]]] = []
        self.count = 0
        self.size = 0

    def fail(self, cause: Exception) -> None:
        for _, call in self.calls:
            if not call.done.done():
                wrong = isinstance(cause, PROGRAM_ERRORS)
                call.fail(failed(cause) if wrong else lost(cause, write=True))


class Outbox:
    """One writer for all calls.

    NATS does not answer a publish. So that none is lost silently, the server has to confirm each
    batch. A call that finds nothing under way is sent at once; others that are made in the same
    turn of the event loop share a batch. A task is needed only to come by a connection.
    """

    def __init__(self, link: Link, timeout: float) -> None:
        self._link = link
        self._timeout = timeout
        self._calls: Calls[Messages, Call[None]] = Calls()
        self._unanswered: deque[Call[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._gathering: asyncio.Handle | None = None
        self._under_way: dict[_Batch, None] = {}
        self._doubtful_bytes = 0
        self._doubtful_messages = 0
        self._worker = Worker(
            self._run,
            "resumable-stream nats messages",
            self._is_left,
            self._ended,
            backend=BACKEND,
        )

    @property
    def cut_off(self) -> bool:
        """The event loop is being shut down."""
        return self._worker.cut_off

    async def publish(self, messages: Messages) -> None:
        """Publish the messages, adjacent and in order; each is a subject and a payload.

        The place in the order is taken before the first suspension.
        """
        self._worker.check()
        call: Call[None] = Call()
        self._calls.put(call, [messages])
        self._unanswered.append(call)
        if self._timer is None:
            self._check_later(call)
        if self._gathering is None:
            if self._under_way:
                self._gathering = asyncio.get_running_loop().call_soon(self._gathered)
            else:
                self._go_on()
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
        self._give_up(self._worker.refusal())
        for batch in self._under_way:
            batch.fail(ConnectionAbortedError("the backend was closed"))

    def _check_later(self, call: Call[None]) -> None:
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

    def _is_left(self) -> bool:
        """Tell whether calls wait for a connection."""
        return self._link.present is None and self._calls.is_left()

    def _gathered(self) -> None:
        self._gathering = None
        self._go_on()

    def _go_on(self) -> None:
        """Send what may be sent if there is a connection; else have the worker find one."""
        while self._calls.is_left():
            line = self._link.present
            if line is None:
                self._worker.begin()
                return
            batch = self._next_batch(line.max_message_size)
            if not batch.calls:
                return
            self._send(line, batch)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._is_left():
            try:
                await self._link.reach(loop.time() + self._timeout)
            except BackendError as error:
                self._give_up(error)
                continue
            self._go_on()

    def _ended(self, error: BaseException | None) -> None:
        if self._worker.over:
            self._give_up(self._worker.refusal())
        elif error is not None:
            self._give_up(failed(error))

    def _give_up(self, error: BackendError) -> None:
        for call in self._calls.give_up():
            call.fail(again(error))

    def _send(self, line: Line, batch: _Batch) -> None:
        messages = [message for messages, _ in batch.calls for message in messages]
        watch = line.watch("publish", [subject for subject, _ in messages])
        self._under_way[batch] = None
        self._doubtful_bytes += batch.size
        self._doubtful_messages += batch.count
        until = asyncio.get_running_loop().time() + self._timeout
        tell = partial(self._confirmed, line, batch, watch)
        try:
            line.send(list(starmap(_driver.publication, messages)), tell, until)
        except (nats.errors.Error, OSError, *PROGRAM_ERRORS) as error:
            self._settle(line, batch, watch, error)

    def _confirmed(self, line: Line, batch: _Batch, watch: Watch, error: Exception | None) -> None:
        self._settle(line, batch, watch, error)
        if self._gathering is None:
            self._go_on()

    def _settle(self, line: Line, batch: _Batch, watch: Watch, error: Exception | None) -> None:
        del self._under_way[batch]
        self._doubtful_bytes -= batch.size
        self._doubtful_messages -= batch.count
        line.unwatch(watch)
        if error is None:
            for sent, call in batch.calls:
                _settle(call, sent, watch)
            return
        batch.fail(error)
        if isinstance(error, TimeoutError):
            line.fail(error)

    def _next_batch(self, limit: int) -> _Batch:
        batch = _Batch()
        room = _DOUBTFUL_BYTES - self._doubtful_bytes
        count = _DOUBTFUL_MESSAGES - self._doubtful_messages
        while batch.size < room and batch.count < count and (taken := self._calls.take()):
            messages, call = taken
            sizes = [len(message) for _, message in messages]
            if sizes and max(sizes) > limit:
                call.fail(
                    MessageTooLargeError(
                        f"a message of {max(sizes)} bytes exceeds max_message_size {limit}"
                    )
                )
                continue
            batch.calls.append(taken)
            batch.size += sum(sizes)
            batch.count += len(sizes)
        return batch


def _settle(call: Call[None], messages: Messages, watch: Watch) -> None:
    if watch.quiet:
        call.succeed(None)
        return
    denials = [watch.denial_of(subject) for subject, _ in messages]
    found = next((denial for denial in denials if denial is not None), None)
    if found is None:
        call.succeed(None)
    elif all(denials):
        call.fail(refused(found))
    else:
        call.fail(lost(found, write=True))
