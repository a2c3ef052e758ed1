"""Read a stream that a TypeScript peer produces: raw text, no numbers, one marker at the end.

Such a producer tells nothing but text, so everything else is found out by asking under a fresh
listener id, from the offset reached: what a gap has swallowed, and whether it is still alive.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import TYPE_CHECKING

from resumable_stream._protocol.whereabouts import Elsewhere, Unknown, look_up
from resumable_stream._protocol.wire import V1_END, Request
from resumable_stream._reading.remote import Attached, RemoteReader
from resumable_stream._text.offsets import OffsetUnit, length
from resumable_stream._text.utf8 import decode_text
from resumable_stream.errors import BackendError, ProducerLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream._protocol.places import Start
    from resumable_stream._protocol.whereabouts import Whereabouts
    from resumable_stream._shared import Shared
    from resumable_stream.ports import Loss

# The TypeScript package itself waits this long for an answer.
_ANSWER_TIMEOUT = 1.0
_LEAST_WAIT = 0.01
_MARKS = 3
_REPLACEMENT = "\ufffd"
_END = V1_END.encode()


class V1Listener(RemoteReader):
    """A reader of a TypeScript peer's stream. It has no event ids."""

    def __init__(self, stream_id: str, shared: Shared, start: Start) -> None:
        super().__init__(stream_id, shared, start)
        self._inbox: deque[bytes] = deque()
        self._inbox_bytes = 0
        self._overflowed = False
        self._dropped = False
        self._whole = False
        self._listener_id = ""
        self._mark: bytes | None = None
        self._marked = asyncio.Event()
        self._in_handshake = True
        self._asked_at = -float("inf")
        # Code points cannot be asked for, nor an offset that may lie beyond the text.
        self._asked_from = start.offset if shared.options.unit is OffsetUnit.UTF16 else 0
        self._certain = not self._asked_from
        self._skip.remaining = start.offset - self._asked_from
        self._units = self._asked_from  # UTF-16 code units of the text so far
        self._turn = 0

    @property
    def last_event_id(self) -> str | None:
        return None

    async def _open(self) -> None:
        await self._shake_hands()

    async def _leave(self) -> None:
        """Nothing to send: the npm protocol has no leave message."""

    async def _shake_hands(self) -> None:
        """Ask under a fresh listener id; the answer begins where this reader stands."""
        await self._unsubscribe(keep=0)
        self._inbox.clear()
        self._inbox_bytes = 0
        self._overflowed = self._dropped = self._whole = False
        self._in_handshake = True
        self._turn += 1
        turn = self._turn
        self._listener_id = secrets.token_hex(16)
        await self._ask(
            self._listener_id, lambda message: self._on_message(turn, message), self._on_loss
        )

    async def _probe(self) -> None:
        """Ask as another listener would: an answer to it proves the producer alive."""
        await self._unsubscribe(keep=1)
        await self._ask(
            secrets.token_hex(16), lambda _message: self._listen_again(), lambda _loss: None
        )

    async def _ask(
        self,
        listener_id: str,
        on_message: Callable[[bytes], None],
        on_loss: Callable[[Loss], None],
    ) -> None:
        began = self._asked_at = self._loop.time()
        if self._asking_since is None:
            self._asking_since = began
        channel = self._shared.names.chunk(listener_id)
        self._subscriptions.append(
            await self._shared.backend.subscribe(channel, on_message, on_loss)
        )
        # The producer's time runs from here: over a slow link a subscription alone takes long.
        self._asked_at = self._loop.time()
        request = Request(listener_id, version=1, skip=self._units)
        await self._shared.ask(self.stream_id, request)
        self._broker_answered(began)

    async def _unsubscribe(self, keep: int) -> None:
        """Give up the subscriptions after the first ``keep``: handshake's first, probe's second."""
        while len(self._subscriptions) > keep:
            await self._subscriptions.pop().aclose()

    def _on_message(self, turn: int, message: bytes) -> None:
        if self._over or turn != self._turn:
            return
        if message == self._mark:
            self._marked.set()
            return
        self._listen_again()
        if self._overflowed or self._inbox_bytes + len(message) > 2 * max(
            self._options.window, len(message)
        ):
            # Asked for again once there is room.
            self._overflowed = self._dropped = True
        else:
            self._inbox.append(message)
            self._inbox_bytes += len(message)
        self._changed.set()

    async def _act(self) -> float:
        try:
            await self._look_for_end()
            await self._take_inbox()
            if not self._over and self._unanswered():
                if self._asking_since is not None:
                    await self._check()
                if not self._over:
                    await (self._shake_hands() if self._in_handshake else self._probe())
            elif not self._over and self._repairable():
                await self._shake_hands()
        except BackendError as error:
            self._broker_failed(error)
            return self._next_pause()
        if self._in_handshake or self._asking_since is not None:
            return max(_LEAST_WAIT, self._asked_at + _ANSWER_TIMEOUT - self._loop.time())
        await self._unsubscribe(keep=1)
        return max(_LEAST_WAIT, self._heard + self._patience - self._loop.time())

    def _unanswered(self) -> bool:
        """Nothing has come for long: neither an answer, nor text."""
        now = self._loop.time()
        if self._in_handshake or self._asking_since is not None:
            return now >= self._asked_at + _ANSWER_TIMEOUT
        return now - self._heard >= self._patience

    def _repairable(self) -> bool:
        """Something was lost, and there is room for it."""
        return self._overflowed and not self._inbox and self._room() >= self._options.window // 2

    async def _take_inbox(self) -> None:
        while self._inbox and not self._over and (self._in_handshake or self._room() > 0):
            message = self._inbox[0]
            if message == _END and len(self._inbox) == 1 and await self._may_be_end():
                await self._look_for_end()  # it may have come since
                if len(self._inbox) > 1:
                    continue
                # If anything may be missing around it, it may as well be text.
                whole = self._whole and not self._in_handshake
                self._end(None if whole else ProducerLostError(self.stream_id, self._received()))
                return
            self._inbox.popleft()
            self._inbox_bytes -= len(message)
            text = decode_text(message)
            if self._in_handshake:
                if not self._certain and (not text or text[0] == _REPLACEMENT):
                    await self._start_over()
                    return
                self._certain, self._in_handshake = True, False
                self._answer(Attached.YES)
                if not text:
                    continue
            self._units += length(text, OffsetUnit.UTF16)
            self._deliver([text])

    async def _start_over(self) -> None:
        """The offset may be beyond the text, or inside a pair: read from 0 and count."""
        self._certain = True
        self._units, self._skip.remaining = 0, self._start.offset
        await self._shake_hands()

    async def _look_for_end(self) -> None:
        """Recognise the end marker as soon as it has come: what is lost later no longer matters."""
        if self._whole or not self._inbox or self._inbox[-1] != _END:
            return
        came = len(self._inbox)
        if await self._may_be_end() and await self._catch_up():
            self._whole = not self._overflowed and len(self._inbox) == came

    async def _may_be_end(self) -> bool:
        """Tell the end marker, which has come last, from text that reads the same.

        The sentinel turns before the marker is sent, and nothing is sent after it.
        """
        came = len(self._inbox)
        where = await look_up(self._shared.backend, self._shared.names, self.stream_id)
        return not self._same(where) and not self._dropped and len(self._inbox) == came

    async def _catch_up(self) -> bool:
        """Wait until what the producer has sent so far is here: a message sent now comes after."""
        self._marked.clear()
        self._mark = secrets.token_bytes(16)
        channel = self._shared.names.chunk(self._listener_id)
        for _ in range(_MARKS):
            await self._shared.backend.publish(channel, self._mark)
            try:
                async with asyncio.timeout(_ANSWER_TIMEOUT):
                    await self._marked.wait()
            except TimeoutError:
                continue  # a lost connection is noticed in time
            return True
        return False

    def _on_loss(self, loss: Loss) -> None:
        super()._on_loss(loss)
        self._overflowed = True

    def _same(self, where: Whereabouts) -> bool:
        return where == Elsewhere(None)

    def _judge(self, where: Whereabouts) -> None:
        if not self._same(where) and not isinstance(where, Unknown):
            # Over, or taken over; without the marker the text cannot be known to be whole.
            self._end(ProducerLostError(self.stream_id, self._received()))
        elif self._given_up(where, self._options.lease / 2):
            self._end(ProducerLostError(self.stream_id, self._received()))
