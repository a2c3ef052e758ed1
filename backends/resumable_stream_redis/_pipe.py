"""Commands over one connection: sent in the order of the calls, pipelined, answered in order."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING

from redis.exceptions import InvalidResponse

from resumable_stream.adapter_kit import Worker
from resumable_stream.errors import BackendError, BackendUnavailableError
from resumable_stream_redis import _wire
from resumable_stream_redis._errors import STALE_CONNECTION, again, closed, ending, failed, lost
from resumable_stream_redis._line import Line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from resumable_stream_redis._driver import Connection

# What is written at once. Small enough that a lost connection leaves few calls in doubt.
_BATCH_BYTES = 256 * 1024

# A call held up by others waits longer than the time-out while replies keep coming: so many times.
_PATIENCE = 4
_GRACE = 0.1

# An idle connection is closed before a firewall on the way forgets it without telling anyone.
_LINGER = 10.0


class _Call:
    """Some commands sent together, waiting for their replies."""

    __slots__ = ("_error", "_missing", "began", "done", "sent", "write")

    def __init__(self, replies: int, *, write: bool) -> None:
        loop = asyncio.get_running_loop()
        self.done: asyncio.Future[object] = loop.create_future()
        self.began = loop.time()
        self.write = write
        self.sent = False
        self._missing = replies
        self._error: Exception | None = None

    def answer(self, reply: object) -> None:
        self._missing -= 1
        if self._error is None and isinstance(reply, Exception):
            self._error = reply
        if self._missing or self.done.done():
            return
        if self._error is None:
            self.done.set_result(reply)
        else:
            self.done.set_exception(self._error)

    def withdraw(self) -> None:
        """Send no more of it; nobody waits any longer."""
        if self.done.done():
            self.done.exception()  # retrieved, lest asyncio report it as forgotten
        else:
            self.done.cancel()

    def fail(self, error: BackendError) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class Pipe:
    """One connection, opened when there is something to send and closed when idle.

    A reply belongs to the oldest unanswered command whatever became of its caller, so a cancelled
    call's reply is never taken for another's. Nothing is sent twice: what was sent on a connection
    that breaks has failed, what was not yet sent goes to the next one.
    """

    def __init__(
        self, open_connection: Callable[[], Awaitable[Connection]], timeout: float
    ) -> None:
        self._open = open_connection
        self._timeout = timeout
        self._queue: deque[tuple[bytes, _Call]] = deque()
        self._unanswered: deque[_Call] = deque()
        self._wake = asyncio.Event()
        self._worker = Worker(
            self._run, "resumable-stream redis commands", self._drop_withdrawn, self._ended
        )
        self._line: Line | None = None
        self._stale = False
        self._last_reply = 0.0
        self._flushing = False
        self._timer: asyncio.TimerHandle | None = None
        self._doubting = False

    @property
    def cut_off(self) -> bool:
        """The event loop is being shut down."""
        return self._worker.cut_off

    async def call(self, commands: Sequence[bytes], *, write: bool) -> object:
        """Send the commands, adjacent and in order; return the last one's reply.

        The place in the order is taken before the first suspension.

        Raises:
            RedisError: the first error reply.
            BackendUnavailableError: surely not executed, or a read.
            OutcomeUnknownError: perhaps executed.
        """
        if self._worker.over:
            raise self._over()
        call = _Call(len(commands), write=write)
        for command in commands:
            self._queue.append((command, call))
        if not self._unanswered:
            self._flush()
        elif not self._flushing:
            # The server is busy: with all that is called in this turn of the event loop.
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)
        self._worker.begin()
        if self._timer is None:
            self._check_later(self._timeout)
        try:
            return await call.done
        finally:
            call.withdraw()

    def renew(self) -> None:
        """Go on over a new connection, once what was sent over this one is answered."""
        self._stale = True
        self._wake.set()

    async def aclose(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._worker.stop()

    def _check_later(self, wait: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(wait, self._check)

    def _check(self) -> None:
        """Fail the calls that have waited for too long; one timer serves them all."""
        now = asyncio.get_running_loop().time()
        overdue, wait = self._look_for_overdue(now)
        if overdue and not self._doubting:
            # A process that was stopped, or a busy loop, first reads what has come meanwhile.
            self._doubting = True
            self._check_later(_GRACE)
            return
        self._doubting = False
        cause = TimeoutError(f"no answer within {self._timeout:g} s")
        for call in overdue:
            call.fail(lost(cause, sent=call.sent, write=call.write))
        if overdue and now - self._last_reply >= self._timeout and self._line is not None:
            self._line.fail(cause)
        self._timer = None
        if wait is not None:
            self._check_later(wait)

    def _look_for_overdue(self, now: float) -> tuple[list[_Call], float | None]:
        """Return the calls that are overdue, and in how long the next one will be."""
        overdue: list[_Call] = []
        for call in chain(self._unanswered, (call for _, call in self._queue)):
            if call.done.done():
                continue
            latest = call.began + _PATIENCE * self._timeout
            deadline = min(max(call.began, self._last_reply) + self._timeout, latest)
            if now < deadline:
                return overdue, deadline - now
            overdue.append(call)
        return overdue, None

    def _flush(self) -> None:
        """Send what is queued, or leave it to the writer, who may wait."""
        self._flushing = False
        line = self._line
        if line is not None and not self._stale and line.has_room:
            line.write(self._next_batch())
        if line is None or self._queue:
            self._wake.set()

    async def _run(self) -> None:
        while self._drop_withdrawn():
            begun = asyncio.get_running_loop().time()
            try:
                connection = await _wire.connect(self._open, self._timeout)
            except BackendError as error:
                # Whoever came meanwhile has not had the whole time: for them, once more.
                self._fail_queue(error, until=begun)
                continue
            await self._serve(connection)

    def _ended(self, error: BaseException | None) -> None:
        if self._worker.over:
            self._fail_queue(self._over())
        elif error is not None:
            self._fail_queue(failed(error))

    def _over(self) -> BackendUnavailableError:
        return ending() if self.cut_off else closed()

    async def _serve(self, connection: Connection) -> None:
        """Send and receive until the connection is idle, outdated or lost."""
        self._stale = False
        self._last_reply = asyncio.get_running_loop().time()
        line = self._line = Line(connection, self._on_reply, self._wake.set)
        try:
            await self._write(line)
        except OSError as error:
            line.fail(error)
        finally:
            self._line = None
            await line.close()
            cause = line.cause or ConnectionResetError("the backend was closed")
            while self._unanswered:
                call = self._unanswered.popleft()
                call.fail(lost(cause, sent=True, write=call.write))
        if self._queue:
            # A server that accepts and hangs up at once is not asked again in a tight loop.
            await asyncio.sleep(0.02)

    async def _write(self, line: Line) -> None:
        clock = asyncio.get_running_loop().time
        while not line.lost:
            if self._stale and not self._unanswered:
                return
            if not self._stale and (data := self._next_batch()):
                await line.send(data)
                continue
            self._wake.clear()
            idle = clock() - self._last_reply
            try:
                async with asyncio.timeout(_LINGER - idle if idle < _LINGER else _LINGER):
                    await self._wake.wait()
            except TimeoutError:
                idle = clock() - self._last_reply
                if idle >= _LINGER and not self._unanswered and not self._queue:
                    return

    def _on_reply(self, _line: Line, reply: object) -> None:
        self._last_reply = asyncio.get_running_loop().time()
        if not self._unanswered:
            raise InvalidResponse(f"the server sent {reply!r} unasked")
        self._unanswered.popleft().answer(reply)
        if isinstance(reply, STALE_CONNECTION):
            self._stale = True
        if self._stale and not self._unanswered:
            self._wake.set()

    def _next_batch(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while self._drop_withdrawn() and size < _BATCH_BYTES:
            command, call = self._queue.popleft()
            call.sent = True
            self._unanswered.append(call)
            parts.append(command)
            size += len(command)
        return b"".join(parts)

    def _drop_withdrawn(self) -> bool:
        """Drop what nobody waits for any more from the head; tell whether anything is left."""
        while self._queue and self._queue[0][1].done.done():
            self._queue.popleft()
        return bool(self._queue)

    def _fail_queue(self, error: BackendError, until: float = math.inf) -> None:
        while self._queue and self._queue[0][1].began <= until:
            _, call = self._queue.popleft()
            if call.sent:
                call.fail(lost(error, sent=True, write=call.write))
            else:
                call.fail(again(error))
