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

    from resumable_stream_nats._line import Line, Watch
    from resumable_stream_nats._link import Link

    Messages = Sequence[tuple[str, bytes]]
    Batch = list[tuple[Messages, Call[None]]]

# What is sent before the server must confirm: little enough that a lost connection leaves few calls
# in doubt.
_BATCH_BYTES = 256 * 1024
_BATCH_MESSAGES = 1024

# A call behind others may wait for this many time-outs.
_PATIENCE = 4


class Outbox:
    """One writer for all calls.

    NATS does not answer a publish. So that none is lost silently, the server has to confirm each
    batch, and the next one gathers meanwhile. A call that finds nothing under way is sent at once.
    A task is needed only to come by a connection.
    """

    def __init__(self, link: Link, timeout: float) -> None:
        self._link = link
        self._timeout = timeout
        self._calls: Calls[Messages, Call[None]] = Calls()
        self._unanswered: deque[Call[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._under_way: Batch = []
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
        if not self._under_way:
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
        _fail(self._under_way, ConnectionAbortedError("the backend was closed"))

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
        return not self._under_way and self._calls.is_left()

    def _go_on(self) -> None:
        """Send the next batch at once if there is a connection; else have the worker find one."""
        line = self._link.present
        if line is None:
            self._worker.begin()
        elif batch := self._next_batch(line.max_message_size):
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

    def _send(self, line: Line, batch: Batch) -> None:
        messages = [message for messages, _ in batch for message in messages]
        watch = line.watch("publish", [subject for subject, _ in messages])
        self._under_way = batch
        until = asyncio.get_running_loop().time() + self._timeout
        try:
            commands = list(starmap(_driver.publication, messages))
            line.send(commands, partial(self._confirmed, line, watch), until)
        except (nats.errors.Error, OSError, *PROGRAM_ERRORS) as error:
            self._confirmed(line, watch, error)

    def _confirmed(self, line: Line, watch: Watch, error: Exception | None) -> None:
        batch, self._under_way = self._under_way, []
        line.unwatch(watch)
        if error is None:
            for sent, call in batch:
                _settle(call, sent, watch)
            if self._calls.is_left():
                self._go_on()
            return
        if isinstance(error, TimeoutError):
            line.fail(error)
        _fail(batch, error)
        if self._is_left():
            self._worker.begin()

    def _next_batch(self, limit: int) -> Batch:
        batch: Batch = []
        size = count = 0
        while size < _BATCH_BYTES and count < _BATCH_MESSAGES and (taken := self._calls.take()):
            messages, call = taken
            sizes = [len(message) for _, message in messages]
            if sizes and max(sizes) > limit:
                call.fail(
                    MessageTooLargeError(
                        f"a message of {max(sizes)} bytes exceeds max_message_size {limit}"
                    )
                )
                continue
            batch.append(taken)
            size += sum(sizes)
            count += len(sizes)
        return batch


def _fail(batch: Batch, cause: Exception) -> None:
    for _, call in batch:
        if not call.done.done():
            wrong = isinstance(cause, PROGRAM_ERRORS)
            call.fail(failed(cause) if wrong else lost(cause, write=True))


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
