"""Commands over one connection: sent in the order of the calls, pipelined, answered in order."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, Any

from redis.exceptions import InvalidResponse

from resumable_stream.adapter_kit import Call, Calls, Worker, again, stop
from resumable_stream.errors import BackendError
from resumable_stream_redis import _wire
from resumable_stream_redis._errors import BACKEND, STALE_CONNECTION, failed, lost
from resumable_stream_redis._line import Line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence

    from resumable_stream_redis._driver import Connection

# Bytes written at once: few enough that a lost connection leaves few calls in doubt.
_BATCH_BYTES = 256 * 1024

# While replies keep coming, a call behind others may wait for this many time-outs.
PATIENCE = 4
_GRACE = 0.1

# An idle connection is closed before a firewall on the way silently forgets it.
_LINGER = 10.0


class _Commands(Call[object]):
    """A call of some commands that are sent together; its result is the last reply."""

    __slots__ = ("_error", "_missing", "write")

    def __init__(self, replies: int, *, write: bool) -> None:
        super().__init__()
        self.write = write
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


class Pipe:
    """One connection, opened when there is something to send and closed when idle.

    A reply belongs to the oldest unanswered command whatever became of its caller, so a cancelled
    call's reply is never taken for another's. Nothing is sent twice: what was sent on a connection
    that breaks has failed, what was not yet sent goes to the next one.

    Args:
        open_connection: opens the connection.
        timeout: seconds after which a server that does not answer has failed.
        watch: returns once a connection leads to the wrong server.
    """

    def __init__(
        self,
        open_connection: Callable[[], Awaitable[Connection]],
        timeout: float,
        watch: Callable[[Connection], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._open = open_connection
        self._timeout = timeout
        self._watch = watch
        self._calls: Calls[Sequence[bytes], _Commands] = Calls()
        # One entry for each command that was sent; replies come in order.
        self._unanswered: deque[_Commands] = deque()
        self._wake = asyncio.Event()
        self._worker = Worker(
            self._run,
            "resumable-stream redis commands",
            self._calls.is_left,
            self._ended,
            backend=BACKEND,
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

    async def call(self, commands: Sequence[Sequence[bytes]], *, write: bool) -> object:
        """Send the commands, adjacent and in order; return the last one's reply.

        The place in the order is taken before the first suspension.

        Raises:
            RedisError: the first error reply.
            BackendUnavailableError: certainly not executed, or only a read.
            OutcomeUnknownError: perhaps executed.
        """
        self._worker.check()
        call = _Commands(len(commands), write=write)
        self._calls.put(call, commands)
        if not self._unanswered:
            self._flush()
        elif not self._flushing:
            # The server is busy: send this with all else that is called in this turn of the loop.
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
        """Change to a new connection once all that was sent over this one is answered."""
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
            # Replies may have come while the process was stopped or the loop busy: read them first.
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

    def _look_for_overdue(self, now: float) -> tuple[list[_Commands], float | None]:
        """Return the calls that are overdue, and in how long the next one will be."""
        overdue: list[_Commands] = []
        for call in chain(self._unanswered, self._calls):
            if call.done.done():
                continue
            latest = call.began + PATIENCE * self._timeout
            deadline = min(max(call.began, self._last_reply) + self._timeout, latest)
            if now < deadline:
                return overdue, deadline - now
            overdue.append(call)
        return overdue, None

    def _flush(self) -> None:
        """Send what is queued, or leave it to the worker, which may wait."""
        self._flushing = False
        line = self._line
        if line is not None and not self._stale and line.has_room:
            line.write(self._next_batch())
        if line is None or self._calls.is_left():
            self._wake.set()

    async def _run(self) -> None:
        while self._calls.is_left():
            begun = asyncio.get_running_loop().time()
            try:
                connection = await _wire.connect(self._open, self._timeout)
            except BackendError as error:
                # Calls made during this attempt have not waited for long: they get another one.
                self._give_up(self._calls.give_up(until=begun), error)
                continue
            await self._serve(connection)

    def _ended(self, error: BaseException | None) -> None:
        if self._worker.over:
            self._give_up(self._calls.give_up(), self._worker.refusal())
        elif error is not None:
            self._give_up(self._calls.give_up(), failed(error))

    async def _serve(self, connection: Connection) -> None:
        """Send and receive until the connection is idle, outdated or lost."""
        self._stale = False
        self._last_reply = asyncio.get_running_loop().time()
        line = self._line = Line(connection, self._on_reply, self._wake.set)
        watch = None
        if self._watch is not None:
            watch = asyncio.create_task(
                self._watch(connection), name="resumable-stream redis watch"
            )
            watch.add_done_callback(lambda _: self.renew())
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
            if watch is not None:
                await stop(watch)
        if self._calls.is_left():
            # A server that accepts and hangs up must not be asked again in a tight loop.
            await asyncio.sleep(0.02)

    async def _write(self, line: Line) -> None:
        loop = asyncio.get_running_loop()
        while not line.lost:
            if self._stale and not self._unanswered:
                return
            if not self._stale and (data := self._next_batch()):
                await line.send(data)
                continue
            self._wake.clear()
            idle = loop.time() - self._last_reply
            # No time-out, as in ``Hub``.
            tick = loop.call_later(_LINGER - idle if idle < _LINGER else _LINGER, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                tick.cancel()
            idle = loop.time() - self._last_reply
            if idle >= _LINGER and not self._unanswered and not self._calls.is_left():
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

    def _next_batch(self) -> list[bytes]:
        parts: list[bytes] = []
        size = 0
        while size < _BATCH_BYTES and (taken := self._calls.take()):
            command, call = taken
            self._unanswered.append(call)
            parts += command
            size += sum(map(len, command))
        return _wire.gather(parts)

    def _give_up(self, calls: Iterable[_Commands], error: BackendError) -> None:
        for call in calls:
            if call.sent:
                call.fail(lost(error, sent=True, write=call.write))
            else:
                call.fail(again(error))
