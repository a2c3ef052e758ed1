"""One connection, from when it stands until it is lost."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import nats.errors

from resumable_stream.adapter_kit import stop
from resumable_stream_nats import _driver
from resumable_stream_nats._errors import DeniedError, LineLostError, denial_in

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator, Sequence

    from nats.aio.client import Client
    from nats.aio.msg import Msg

T = TypeVar("T")

logger = logging.getLogger("resumable_stream")

# The most bytes that one publish may carry; a server's max_payload may be a lower limit.
MAX_MESSAGE_SIZE = 512 * 1024

_GRACE = 0.1


class Watch:
    """Collects what the server denies while something is asked of it."""

    def __init__(self, kind: str, subjects: Iterable[str], *, replies: bool) -> None:
        self.replies = replies
        self.first: asyncio.Future[DeniedError] = asyncio.get_running_loop().create_future()
        self._kind = kind
        self._subjects = {subject.lower() for subject in subjects}
        self._denied: dict[str, DeniedError] = {}

    def hear(self, denial: DeniedError) -> None:
        if denial.kind == self._kind and denial.subject in self._subjects:
            self._denied[denial.subject] = denial
            self.tell(denial)

    def tell(self, denial: DeniedError) -> None:
        if not self.first.done():
            self.first.set_result(denial)

    @property
    def quiet(self) -> bool:
        """Nothing was denied."""
        return not self._denied

    def denial_of(self, subject: str) -> DeniedError | None:
        return self._denied.get(subject.lower())


class Line:
    """A connection of a client, and all that is under way on it.

    nats-py's own calls swallow cancellations, wait for ever for a server that is gone, and learn of
    a denied subject only by the time-out. A line runs each of them in a task of its own, or does
    without it. Waiting ends at once when the connection does or the subject is denied.

    Attributes:
        lost: done once the connection is over, with the cause.
        trouble: the last error that the client has reported.
    """

    def __init__(self, client: Client, *, own: bool) -> None:
        self.client = client
        self.lost: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self.trouble: BaseException | None = None
        self._own = own
        self._watches: set[Watch] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._answers: set[asyncio.Future[Msg]] = set()
        self._inbox = client.new_inbox().rpartition(".")[0].lower() + "."
        self._inbox_denied: DeniedError | None = None
        self._reader: asyncio.Task[None] | None = None

    def stand(self) -> None:
        """Take up the client's present connection; the line lives as long as it does."""
        self._reader = _driver.reader_of(self.client)
        self._reader.add_done_callback(self._reader_ended)

    @property
    def alive(self) -> bool:
        return self._reader is not None and not self._reader.done() and not self.lost.done()

    @property
    def max_message_size(self) -> int:
        return min(MAX_MESSAGE_SIZE, self.client.max_payload)

    def end(self, cause: BaseException) -> None:
        """Give the connection up."""
        if not self.lost.done():
            self.lost.set_result(cause)
            for answer in self._answers:
                _fail(answer, self._why())

    def fail(self, cause: BaseException) -> None:
        """Give up a connection that did not answer in time, unless it is the user's own."""
        if self._own:
            self.end(cause)

    async def hear(self, error: Exception) -> None:
        """Take note of an error that the client reports outside of any call."""
        denial = denial_in(error)
        if denial is None:
            self.trouble = error
            logger.debug("nats: %r", error)
            return
        if denial.kind == "subscription" and denial.subject.startswith(self._inbox):
            self._inbox_denied = denial
            for watch in self._watches:
                if watch.replies:
                    watch.tell(denial)
        for watch in self._watches:
            watch.hear(denial)

    @contextmanager
    def watch(
        self, kind: str, subjects: Iterable[str], *, replies: bool = False
    ) -> Iterator[Watch]:
        """Watch for denials of these subjects and, with ``replies``, of the client's inbox."""
        watch = Watch(kind, subjects, replies=replies)
        if replies and self._inbox_denied is not None:
            watch.tell(self._inbox_denied)
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    async def run(
        self, work: Coroutine[Any, Any, T], *, until: float, watch: Watch | None = None
    ) -> T:
        """Run a call of nats-py's until the loop's time ``until``.

        Raises:
            DeniedError: the server denied a watched subject.
            LineLostError: the connection is over.
            TimeoutError: it takes too long.
            Exception: whatever the call raises.
        """
        task = asyncio.create_task(_outcome(work), name="resumable-stream nats call")
        self._tasks.add(task)
        task.add_done_callback(partial(self._task_ended, work))
        try:
            await self._wait({task, self.lost, *([watch.first] if watch else [])}, until)
            if task.done() and not task.cancelled():
                result, error = task.result()
                if error is not None:
                    raise error
                return cast("T", result)
            if watch is not None and watch.first.done():
                raise watch.first.result()
            raise self._why()
        finally:
            task.cancel()

    async def ask(
        self, subject: str, headers: bytes, payload: bytes, *, until: float, watch: Watch
    ) -> Msg:
        """Ask one question, and return its answer.

        Raises as ``run`` does.
        """
        if not _driver.hears_answers(self.client):
            await self.run(_driver.hear_answers(self.client), until=until, watch=watch)
        if not self.alive:
            raise self._why()
        if watch.first.done():
            raise watch.first.result()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Msg] = loop.create_future()
        token = _driver.ask(self.client, subject, headers, payload, answer)
        self._answers.add(answer)
        timer = loop.call_at(until, _overdue, answer)
        watch.first.add_done_callback(lambda first: _fail(answer, first.result()))
        try:
            return await answer
        finally:
            timer.cancel()
            self._answers.discard(answer)
            _driver.forget(self.client, token)

    async def confirm(self, commands: Sequence[bytes] = (), *, until: float) -> None:
        """Send, and return once the server has taken in all that was handed to the client.

        Raises as ``run`` does.
        """
        pong: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        _driver.send(self.client, commands, pong)
        await self._wait({pong, self.lost}, until)
        if not pong.done() or not self.alive:
            raise self._why()

    def probe(self, pong: asyncio.Future[bool]) -> None:
        """Ask for a sign of life, without waiting for it."""
        with suppress(nats.errors.Error):  # the connection's end is reported by ``lost``
            _driver.send(self.client, (), pong)

    async def settle(self) -> None:
        """Wait for the cancelled tasks of this line to end."""
        for task in list(self._tasks):
            await stop(task)

    async def _wait(self, futures: set[asyncio.Future[Any]], until: float) -> None:
        left = until - asyncio.get_running_loop().time()
        # Answers may have come while the process was stopped or the loop busy: read them first.
        for patience in (max(0.0, left), _GRACE):
            done, _ = await asyncio.wait(
                futures, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                return

    def _why(self) -> Exception:
        if not self.lost.done():
            return TimeoutError("no answer in time")
        cause = self.lost.result()
        error = LineLostError(f"the connection is over: {cause or type(cause).__name__}")
        error.__cause__ = cause
        return error

    def _reader_ended(self, _: object) -> None:
        self.end(self.trouble or self.client.last_error or nats.errors.StaleConnectionError())

    def _task_ended(self, work: Coroutine[Any, Any, Any], task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        work.close()  # it was never begun if the task was cancelled before its first step


async def _outcome(work: Coroutine[Any, Any, T]) -> tuple[T | None, Exception | None]:
    """Return what the work raises, which asyncio would report if nobody retrieves it."""
    try:
        return await work, None
    except Exception as error:  # noqa: BLE001 - the caller's to handle, if there is one
        return None, error


def _overdue(answer: asyncio.Future[Msg]) -> None:
    # Answers may have come while the process was stopped or the loop busy: read them first.
    late = TimeoutError("no answer in time")
    asyncio.get_running_loop().call_later(_GRACE, _fail, answer, late)


def _fail(answer: asyncio.Future[Msg], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
