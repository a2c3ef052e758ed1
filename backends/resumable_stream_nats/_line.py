"""One connection, from when it stands until it is lost."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import nats.errors

from resumable_stream_nats import _driver
from resumable_stream_nats._answers import Answers, Question, fail, settle
from resumable_stream_nats._errors import DeniedError, LineLostError, denial_in
from resumable_stream_nats._watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from resumable_stream_nats._answers import Answer

logger = logging.getLogger("resumable_stream")

# The most bytes that one publish may carry; a server's max_payload may be a lower limit.
MAX_MESSAGE_SIZE = 512 * 1024

_GRACE = 0.1


class Line:
    """A connection of a client, and all that is under way on it.

    nats-py's own calls swallow cancellations, wait for ever for a server that is gone, and learn of
    a denied subject only by the time-out. A line does without them. Waiting ends at once when the
    connection does or the subject is denied.

    Questions that are asked in one turn of the event loop are sent by one write, and their answers
    come to one inbox.

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
        self._questions: dict[str, Question] = {}
        self._asked = 0
        self._unsent: list[tuple[bytes, Answer]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._confirming: dict[_driver.Pong, float] = {}
        self._inbox = ""
        self._receiver: _driver.Receiver | None = None
        self._inbox_denied: DeniedError | None = None
        self._reader: asyncio.Task[None] | None = None

    def stand(self) -> None:
        """Take up the client's present connection; the line lives as long as it does."""
        self._reader = _driver.reader_of(self.client)
        self._inbox = f"{self.client.new_inbox()}."
        self._reader.add_done_callback(self._reader_ended)

    @property
    def alive(self) -> bool:
        return self._reader is not None and not self._reader.done() and not self.lost.done()

    @property
    def max_message_size(self) -> int:
        return min(MAX_MESSAGE_SIZE, self.client.max_payload)

    def end(self, cause: BaseException) -> None:
        """Give the connection up."""
        if self.lost.done():
            return
        self.lost.set_result(cause)
        for question in self._questions.values():
            fail(question.answer, self._why())
        for pong in list(self._confirming):
            pong.settle(self._why())
        if self._timer is not None:
            self._timer.cancel()
        if self._receiver is not None:
            with suppress(nats.errors.Error, OSError):  # the inbox went with its connection
                _driver.send(self.client, [self._receiver.end()])

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
        if denial.kind == "subscription" and self._is_inbox(denial.subject):
            self._inbox_denied = denial
            self._deny(denial, self._questions.values())
        elif denial.kind == "publish":
            asked = self._questions.values()
            self._deny(denial, [one for one in asked if one.subject.lower() == denial.subject])
        for watch in self._watches:
            watch.hear(denial)

    def watch(self, kind: str, subjects: Iterable[str]) -> Watch:
        """Watch for denials of these subjects, until ``unwatch``."""
        watch = Watch(kind, subjects)
        self._watches.add(watch)
        return watch

    def unwatch(self, watch: Watch) -> None:
        self._watches.discard(watch)

    async def ask(
        self,
        subject: str,
        headers: bytes,
        payload: bytes,
        *,
        until: float,
        into: asyncio.Future[Msg] | None = None,
    ) -> Msg:
        """Ask one question, and return its answer, by the loop's time ``until``.

        A future of the caller's own, ``into``, decides which of several messages is the answer.

        Raises:
            DeniedError: the server denied the subject, or the inbox.
            LineLostError: the connection is over.
            TimeoutError: it takes too long.
            nats.errors.Error: the client takes no more; nothing was sent.
        """
        answer = into or asyncio.get_running_loop().create_future()
        token = self._ask(subject, headers, payload, until, answer)
        self._check_by(until)
        try:
            return await answer
        finally:
            self._questions.pop(token, None)

    async def ask_many(
        self, questions: Sequence[tuple[str, bytes, bytes]], *, until: float
    ) -> list[Msg | None]:
        """Ask questions, each a subject, headers and a payload; return the answers in order.

        An answer is None where ``ask`` would raise an error.
        """
        answers = Answers(len(questions))
        tokens = [
            self._ask(subject, headers, payload, until, answer)
            for (subject, headers, payload), answer in zip(questions, answers.each, strict=True)
        ]
        self._check_by(until)
        try:
            await answers.complete
        finally:
            for token in tokens:
                self._questions.pop(token, None)
        return answers.messages

    def send(
        self, commands: Sequence[bytes], tell: Callable[[Exception | None], None], until: float
    ) -> None:
        """Send at once; tell when the server has taken in all that was handed to the client.

        ``tell`` is called with None, or with why that is not known: ``LineLostError`` or, after the
        loop's time ``until``, ``TimeoutError``.

        Raises:
            LineLostError: the connection is over.
            nats.errors.Error: the client takes no more; nothing was sent.
        """
        if self.lost.done():
            raise self._why()
        pong = _driver.Pong(partial(self._confirmed, tell))
        _driver.send(self.client, commands, pong)
        self._confirming[pong] = until
        self._check_by(until)

    async def confirm(self, *, until: float) -> None:
        """Return once the server has taken in all that was handed to the client.

        Raises what ``send`` raises, and tells.
        """
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.send((), partial(settle, confirmed), until)
        await confirmed

    def probe(self, pong: _driver.Pong) -> None:
        """Ask for a sign of life, without waiting for it."""
        with suppress(nats.errors.Error):  # the connection's end is reported by ``lost``
            _driver.send(self.client, (), pong)

    def _ask(
        self, subject: str, headers: bytes, payload: bytes, until: float, answer: Answer
    ) -> str:
        """Put a question among those that are sent next; return the token of its answer."""
        if not self.alive:
            raise self._why()
        if self._inbox_denied is not None:
            raise self._inbox_denied
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._send_questions)
        self._asked += 1
        token = str(self._asked)
        command = _driver.request(subject, f"{self._inbox}{token}", headers, payload)
        self._unsent.append((command, answer))
        self._questions[token] = Question(subject, until, answer)
        return token

    def _send_questions(self) -> None:
        unsent, self._unsent = self._unsent, []
        commands = [command for command, answer in unsent if not answer.done()]
        if not commands:
            return
        if self._receiver is None:
            self._receiver = _driver.Receiver(self.client, f"{self._inbox}*", self._receive)
            commands.insert(0, self._receiver.beginning)
        try:
            _driver.send(self.client, commands)
        except nats.errors.Error as error:
            for _, answer in unsent:
                fail(answer, error)

    def _receive(self, message: Msg) -> None:
        question = self._questions.get(message.subject[len(self._inbox) :])
        if question is not None and not question.answer.done():
            question.answer.set_result(message)

    def _is_inbox(self, subject: str) -> bool:
        prefix = self._inbox.lower().rstrip(".").rpartition(".")[0]
        return bool(prefix) and subject.startswith(f"{prefix}.")

    def _deny(self, denial: DeniedError, questions: Iterable[Question]) -> None:
        for question in questions:
            fail(question.answer, denial)

    def _confirmed(
        self, tell: Callable[[Exception | None], None], pong: _driver.Pong, error: Exception | None
    ) -> None:
        self._confirming.pop(pong, None)
        tell(error)

    def _check_by(self, time: float) -> None:
        """See that what is overdue at this time fails; one timer serves all that is under way."""
        if self._timer is not None:
            if self._timer.when() <= time:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(time, self._check)

    def _check(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now, late = loop.time(), TimeoutError("no answer in time")
        # Answers may have come while the process was stopped or the loop busy: read them first.
        for question in self._questions.values():
            if question.until <= now:
                loop.call_later(_GRACE, fail, question.answer, late)
        for pong, until in self._confirming.items():
            if until <= now:
                loop.call_later(_GRACE, pong.settle, late)
        times = [question.until for question in self._questions.values()]
        times += self._confirming.values()
        if later := [time for time in times if time > now]:
            self._check_by(min(later))

    def _why(self) -> Exception:
        if not self.lost.done():
            return TimeoutError("no answer in time")
        cause = self.lost.result()
        error = LineLostError(f"the connection is over: {cause or type(cause).__name__}")
        error.__cause__ = cause
        return error

    def _reader_ended(self, _: object) -> None:
        self.end(self.trouble or self.client.last_error or nats.errors.StaleConnectionError())
