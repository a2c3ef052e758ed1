"""Questions to JetStream, over whichever connection there is."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, TypeVar

import nats.errors
from nats.aio.client import NO_RESPONDERS_STATUS
from nats.js import api
from nats.js import errors as js_errors

from resumable_stream_nats._errors import DeniedError, LineLostError, lost, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nats.aio.msg import Msg

    from resumable_stream_nats._line import Line
    from resumable_stream_nats._link import Link

T = TypeVar("T")

NO_HEADERS = b"NATS/1.0\r\n\r\n"

# The pause between two questions to a stream without a leader, in seconds.
PAUSE = 0.1

# A question is first repeated after this part of the time-out; then the wait doubles each time.
_FIRST_PATIENCE = 1 / 8

# The client took nothing.
_UNSENT = (
    nats.errors.ConnectionClosedError,
    nats.errors.ConnectionDrainingError,
    nats.errors.OutboundBufferLimitError,
)

_STATUS = api.Header.STATUS.value


class StrangeAnswerError(nats.errors.Error):
    """The answer is not one of JetStream's."""


class JetStream:
    def __init__(self, link: Link, timeout: float) -> None:
        self._link = link
        self._timeout = timeout

    async def ask(
        self, subject: str, payload: bytes, read: Callable[[dict[str, Any]], T], until: float
    ) -> T:
        """Return what ``read`` makes of the answer; an error in it is raised as it is.

        A stream that is being made, or moves to another leader, drops what it is asked. So a
        question is repeated.

        Raises:
            ServiceUnavailableError: nobody answers for the subject just now.
        """
        loop = asyncio.get_running_loop()
        patience = self._timeout * _FIRST_PATIENCE
        while True:
            line = self._link.present or await self._link.reach(until)
            try:
                message = await line.ask(
                    subject, NO_HEADERS, payload, until=min(until, loop.time() + patience)
                )
                return answer_in(message, read, nobody=js_errors.ServiceUnavailableError)
            except TimeoutError as error:
                if loop.time() + PAUSE >= until:
                    raise lost(error, write=False) from error
                patience *= 2
            except (LineLostError, OSError) as error:
                raise lost(error, write=False) from error
            except _UNSENT as error:
                raise refused(error) from error


def _sequence(answer: dict[str, Any]) -> int:
    return int(answer["seq"])


async def write(
    line: Line,
    subject: str,
    headers: bytes,
    payload: bytes,
    until: float,
    read: Callable[[dict[str, Any]], int] = _sequence,
) -> int:
    """Write a message to a stream, and return its sequence number. It is never repeated.

    Another change of a stream has another answer, of which ``read`` makes a number.

    Raises:
        NoStreamResponseError: nobody took it.
        APIError: the stream refused it.
        OutcomeUnknownError: it may have been written.
        BackendUnavailableError: it was certainly not written.
    """
    try:
        message = await line.ask(subject, headers, payload, until=until)
        return answer_in(message, read, nobody=js_errors.NoStreamResponseError)
    except (TimeoutError, LineLostError, OSError, StrangeAnswerError) as error:
        raise lost(error, write=True) from error
    except _UNSENT as error:
        raise refused(error) from error


async def write_many(
    line: Line, requests: Sequence[tuple[str, bytes, bytes]], until: float
) -> list[int | None]:
    """Write messages to a stream, each given as its subject, headers and payload.

    Return the sequence number of each, or None if it is not known to be written.

    Raises:
        BackendUnavailableError: nothing was written.
    """
    if not requests:
        return []
    try:
        answers = await line.ask_many(requests, until=until)
    except (*_UNSENT, LineLostError, DeniedError, TimeoutError) as error:
        raise refused(error) from error
    return [None if answer is None else _written_at(answer) for answer in answers]


def _written_at(message: Msg) -> int | None:
    try:
        return answer_in(message, _sequence, nobody=js_errors.NoStreamResponseError)
    except nats.errors.Error:
        return None


def answer_in(
    message: Msg, read: Callable[[dict[str, Any]], T], *, nobody: type[js_errors.Error]
) -> T:
    """Read an answer of JetStream's.

    Raises:
        APIError: it is an error.
        StrangeAnswerError: the answer does not come from JetStream.
        Error: ``nobody``, if nobody has answered.
    """
    if message.headers and message.headers.get(_STATUS) == NO_RESPONDERS_STATUS:
        raise nobody
    try:
        answer = json.loads(message.data)
        if "error" in answer:
            raise js_errors.APIError.from_error(answer["error"])
        return read(answer)
    except (LookupError, TypeError, ValueError) as error:
        raise StrangeAnswerError(f"{message.data!r:.80} is no answer of JetStream's") from error
