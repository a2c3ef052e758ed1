"""Questions to JetStream, over whichever connection there is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import nats.errors
from nats.aio.client import NO_RESPONDERS_STATUS
from nats.js import api
from nats.js import errors as js_errors

from resumable_stream_nats._errors import LineLostError, lost, refused

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from nats.aio.client import Client
    from nats.js import JetStreamContext

    from resumable_stream_nats._line import Line, Watch
    from resumable_stream_nats._link import Link

T = TypeVar("T")

Question = Callable[["Line", "Watch", float], Awaitable[T]]
"""Asks over a line, with a watch for denials, until a time of the event loop."""

NO_HEADERS = b"NATS/1.0\r\n\r\n"

# The pause between two questions to a stream without a leader, in seconds.
PAUSE = 0.1

# A question is first repeated after this part of the time-out; then the wait doubles each time.
_FIRST_PATIENCE = 1 / 8


class StrangeAnswerError(nats.errors.Error):
    """The answer is not one of JetStream's."""


class JetStream:
    def __init__(self, link: Link, timeout: float) -> None:
        self._link = link
        self._timeout = timeout

    async def ask(
        self,
        question: Question[T],
        subject: str,
        until: float,
        *,
        write: bool = False,
        check: Callable[[Client], None] | None = None,
    ) -> T:
        """Return the answer; an error that JetStream answers with is raised as it is.

        A stream that is being made, or moves to another leader, drops what it is asked. So a
        question is repeated. A write never is.
        """
        loop = asyncio.get_running_loop()
        patience = self._timeout * (1 if write else _FIRST_PATIENCE)
        while True:
            line = await self._link.reach(until)
            if check is not None:
                check(line.client)
            try:
                with line.watch("publish", [subject], replies=True) as watch:
                    return await question(line, watch, min(until, loop.time() + patience))
            except TimeoutError as error:
                if write or loop.time() + PAUSE >= until:
                    raise lost(error, write=write) from error
                patience *= 2
            except (LineLostError, OSError) as error:
                raise lost(error, write=write) from error
            except StrangeAnswerError as error:
                if write:
                    raise lost(error, write=True) from error
                raise
            except (
                nats.errors.ConnectionClosedError,
                nats.errors.ConnectionDrainingError,
                nats.errors.OutboundBufferLimitError,
            ) as error:
                raise refused(error) from error


def through_driver(
    api_prefix: str, make: Callable[[JetStreamContext], Coroutine[Any, Any, T]]
) -> Question[T]:
    """Let nats-py ask."""

    async def ask(line: Line, watch: Watch, until: float) -> T:
        left = max(0.0, until - asyncio.get_running_loop().time())
        jetstream = line.client.jetstream(prefix=api_prefix, timeout=left)
        return await line.run(make(jetstream), until=until, watch=watch)

    return ask


def directly(
    subject: str,
    headers: bytes,
    payload: bytes,
    *,
    nobody: type[js_errors.Error],
    read: Callable[[dict[str, Any]], T],
) -> Question[T]:
    """Ask without nats-py, which takes several times as long; leases are renewed like this."""

    async def ask(line: Line, watch: Watch, until: float) -> T:
        message = await line.ask(subject, headers, payload, until=until, watch=watch)
        if message.headers and message.headers.get(api.Header.STATUS) == NO_RESPONDERS_STATUS:
            raise nobody
        try:
            answer = json.loads(message.data)
            if "error" in answer:
                raise js_errors.APIError.from_error(answer["error"])
            return read(answer)
        except (LookupError, TypeError, ValueError) as error:
            raise StrangeAnswerError(f"{message.data!r:.80} is no answer of JetStream's") from error

    return ask
