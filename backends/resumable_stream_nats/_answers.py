"""Answers to questions: awaited one by one, or those to many questions together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from nats.aio.msg import Msg


class Answer(Protocol):
    """What a question waits for; a future is one."""

    def done(self) -> bool:
        """Tell whether it has come, or nobody waits for it any more."""
        ...

    def set_result(self, message: Msg, /) -> None: ...

    def set_exception(self, error: Exception, /) -> None: ...


class Question(NamedTuple):
    """What was asked and is not answered yet."""

    subject: str
    until: float
    answer: Answer


class Answers:
    """The answers to questions that are asked together, with one future for all of them.

    Attributes:
        complete: done once each answer has come or failed.
        messages: the answers, in the order of the questions; None for one that failed.
    """

    def __init__(self, count: int) -> None:
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.messages: list[Msg | None] = [None] * count
        self.each = [_OneOfMany(self, number) for number in range(count)]
        self._missing = count

    def take(self, number: int, message: Msg | None) -> None:
        """Take one answer, which has come or failed."""
        self.messages[number] = message
        self._missing -= 1
        if not self._missing and not self.complete.done():
            self.complete.set_result(None)


class _OneOfMany:
    __slots__ = ("_answers", "_number", "_over")

    def __init__(self, answers: Answers, number: int) -> None:
        self._answers = answers
        self._number = number
        self._over = False

    def done(self) -> bool:
        return self._over or self._answers.complete.done()

    def set_result(self, message: Msg) -> None:
        self._over = True
        self._answers.take(self._number, message)

    def set_exception(self, error: Exception) -> None:  # noqa: ARG002 - asking again tells it
        self._over = True
        self._answers.take(self._number, None)


def fail(answer: Answer | asyncio.Future[None], error: Exception) -> None:
    """Let an answer fail, unless it is done."""
    if not answer.done():
        answer.set_exception(error)


def settle(confirmed: asyncio.Future[None], error: Exception | None) -> None:
    """Let what waits for a confirmation go on, or fail."""
    if error is not None:
        fail(confirmed, error)
    elif not confirmed.done():
        confirmed.set_result(None)
