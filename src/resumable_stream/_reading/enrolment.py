"""How the readers of one generation keep themselves enrolled: with one sign of life for all."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING

from resumable_stream._backoff import Backoff
from resumable_stream._options import staggered
from resumable_stream._protocol.places import Place
from resumable_stream._protocol.wire import Request, RequestType
from resumable_stream._text.endings import Ending, Status
from resumable_stream.errors import BackendError

if TYPE_CHECKING:
    from resumable_stream._reading.assembly import Assembly
    from resumable_stream._reading.remote import RemoteReader
    from resumable_stream._shared import Shared

logger = logging.getLogger("resumable_stream")

_FIRST_PAUSE = 0.25


class Enrolments:
    """The enrolments of one instance: one for each generation that is read here."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._known: dict[tuple[str, int], Enrolment] = {}

    def enter(self, reader: RemoteReader, generation: int, assembly: Assembly) -> Enrolment:
        """Keep a reader enrolled whose producer has answered, until it is let go."""
        key = reader.stream_id, generation
        if (enrolment := self._known.get(key)) is None:
            enrolment = self._known[key] = Enrolment(self._shared, self._known, key)
        enrolment.members[reader] = assembly
        return enrolment


class Enrolment:
    """Signs for its members as one more listener, until the last of them has left.

    All members hear one live channel, so the producer need not know of each of them. Their own
    requests bear their own ids, since a sign would replace the rest of an answer (REQ-1).

    Between two signs it has no task, only an entry in the instance's ``Ticks``.

    Args:
        shared: what the instance shares.
        known: where it is found while it has members.
        key: what it is found by: stream id and generation.

    Attributes:
        members: the readers that it signs for, and what they have received.
    """

    __slots__ = (
        "_backoff",
        "_id",
        "_key",
        "_known",
        "_shared",
        "_sign",
        "_signed",
        "_tick",
        "members",
    )

    def __init__(
        self, shared: Shared, known: dict[tuple[str, int], Enrolment], key: tuple[str, int]
    ) -> None:
        self.members: dict[RemoteReader, Assembly] = {}
        self._shared = shared
        self._known = known
        self._key = key
        self._id = secrets.token_hex(16)
        self._backoff: Backoff | None = None  # while signing fails
        self._sign: asyncio.Task[None] | None = None  # while one is under way
        self._signed = False  # the producer may know it
        interval = shared.options.heartbeat_interval
        self._tick = shared.ticks.call_later(interval * staggered(int(self._id, 16)), self._begin)

    async def let_go(self, member: RemoteReader) -> list[Request]:
        """Sign no more for a member; return what is still to be sent, if it was the last."""
        self.members.pop(member, None)
        if self.members:
            return []
        self._forget()
        self._shared.ticks.cancel(self._tick, self._begin)
        if self._sign is not None:
            # No sign may follow the leave: the producer would keep its text for nobody.
            self._sign.cancel()
            await asyncio.wait({self._sign})
        if not self._signed:
            return []
        return [Request(self._id, type=RequestType.LEAVE, generation=self._key[1])]

    def _begin(self) -> None:
        # A reader whose task was cancelled while it left has not let itself be let go.
        self.members = {r: has for r, has in self.members.items() if not r.unread.over}
        if not self.members:
            self._forget()
            return
        self._signed = True
        self._sign = self._shared.background.start(
            self._send(), f"resumable-stream sign of life {self._key[0]!r}"
        )
        self._sign.add_done_callback(self._done)

    def _done(self, _sign: asyncio.Task[None]) -> None:
        self._sign = None
        if self.members:
            interval = self._shared.options.heartbeat_interval
            wait = interval if self._backoff is None else min(interval, self._backoff.next())
            self._tick = self._shared.ticks.call_later(wait, self._begin)

    def _forget(self) -> None:
        if self._known.get(self._key) is self:
            del self._known[self._key]

    async def _send(self) -> None:
        """Publish a sign, and tell each member how the broker has taken it."""
        stream_id, generation = self._key
        loop = asyncio.get_running_loop()
        # The furthest place, which grows only while somebody reads: the producer looks for that.
        place = max(
            (known for has in self.members.values() if (known := has.place)), default=Place(0)
        )
        asked = loop.time()
        try:
            sign = Request(self._id, generation=generation, place=place)
            await self._shared.ask(stream_id, sign)
        except BackendError as error:
            self._backoff = self._backoff or Backoff(_FIRST_PAUSE)
            for member in list(self.members):
                member.broker_failed(error)
        except Exception:
            logger.exception("stream %r: a sign of life failed", stream_id)
            for member in list(self.members):
                member.end_as(Ending(Status.LOST))
        else:
            self._backoff = None
            now = loop.time()
            for member in self.members:
                member.liveness.answered(asked, now)
