"""How to read from a TypeScript producer: raw text, no numbers, one marker at the end.

Such a producer sends nothing but text. What a gap has swallowed, and whether the producer is alive,
is found out by asking from the offset reached, under a fresh listener id.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from resumable_stream._protocol.whereabouts import Elsewhere, Unknown, look_up
from resumable_stream._protocol.wire import V1_END, Request
from resumable_stream._reading.liveness import ANSWER_TIMEOUT, Sighting, Verdict
from resumable_stream._text.endings import Ending, Status
from resumable_stream._text.offsets import OffsetUnit, length
from resumable_stream._text.utf8 import decode_text
from resumable_stream.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream._protocol.whereabouts import Whereabouts
    from resumable_stream._reading.remote import RemoteReader
    from resumable_stream.ports import Loss

_LEAST_WAIT = 0.01
_MARKS = 3
_REPLACEMENT = "\ufffd"
_END = V1_END.encode()


class V1Listener:
    """The dialect of the npm package, spoken with a TypeScript producer. It has no event ids."""

    __slots__ = (
        "_certain",
        "_dropped",
        "_inbox",
        "_inbox_bytes",
        "_listener_id",
        "_liveness",
        "_mark",
        "_mark_prefix",
        "_marked",
        "_overflowed",
        "_reader",
        "_turn",
        "_units",
        "_unread",
        "_whole",
    )

    # Without the marker the text cannot be known to be whole.
    replaced = Status.LOST

    def __init__(self, reader: RemoteReader) -> None:
        self._reader = reader
        self._liveness = reader.liveness
        self._unread = reader.unread
        self._inbox: deque[bytes] = deque()
        self._inbox_bytes = 0
        self._overflowed = False
        self._dropped = False
        self._whole = False
        self._listener_id = ""
        self._mark_prefix = secrets.token_bytes(16)
        self._mark = b""
        self._marked = asyncio.Event()
        self._turn = 0
        # Code points cannot be asked for, nor an offset that may lie beyond the text.
        utf16 = reader.shared.options.unit is OffsetUnit.UTF16
        self._units = reader.start.offset if utf16 else 0  # UTF-16 code units of the text so far
        self._unread.leave_out(reader.start.offset - self._units)
        self._certain = not self._units

    def event_id(self, unread: int, *, begun: bool) -> None:  # noqa: ARG002 - it has none
        return None

    async def open(self) -> None:
        await self._shake_hands()

    async def leave(self) -> None:
        """Nothing to send: the npm protocol has no leave message."""

    async def _shake_hands(self) -> None:
        """Ask under a fresh listener id: the answer begins where this reader's text ends."""
        await self._reader.task.unsubscribe(keep=0)
        self._inbox.clear()
        self._inbox_bytes = 0
        self._overflowed = self._dropped = self._whole = False
        self._liveness.shake_hands()
        self._turn += 1
        self._listener_id = secrets.token_hex(16)
        await self._ask(self._listener_id, partial(self._on_message, self._turn), self._on_loss)

    async def _probe(self) -> None:
        """Ask as another listener would: an answer to it proves the producer alive."""
        await self._reader.task.unsubscribe(keep=1)
        await self._ask(secrets.token_hex(16), lambda _message: self._hear(), lambda _loss: None)

    async def _ask(
        self,
        listener_id: str,
        on_message: Callable[[bytes], None],
        on_loss: Callable[[Loss], None],
    ) -> None:
        reader, liveness = self._reader, self._liveness
        began = reader.loop.time()
        liveness.asked(began)
        await reader.task.subscribe(listener_id, on_message, on_loss)
        # Over a slow link a subscription alone takes long.
        liveness.sent(reader.loop.time())
        # Whoever has the stream now would answer with another text, and the answer would not tell.
        if not liveness.attached or await self._is_produced():
            request = Request(listener_id, version=1, skip=self._units)
            await reader.shared.ask(reader.stream_id, request)
        liveness.answered(began, reader.loop.time())

    def _hear(self) -> None:
        self._liveness.heard(self._reader.loop.time())

    def _on_message(self, turn: int, message: bytes) -> None:
        if self._unread.over or turn != self._turn:
            return
        if message.startswith(self._mark_prefix):
            if message == self._mark:  # else an earlier one, which a broker was slow to send
                self._marked.set()
            return
        self._hear()
        window = self._reader.shared.options.window
        if self._overflowed or self._inbox_bytes + len(message) > 2 * max(window, len(message)):
            # What does not fit is asked for again once there is room.
            self._overflowed = self._dropped = True
        else:
            self._inbox.append(message)
            self._inbox_bytes += len(message)
        self._reader.task.wake()

    async def act(self) -> float:
        reader, liveness = self._reader, self._liveness
        try:
            await self._look_for_end()
            await self._take_inbox()
            verdict = liveness.verdict(reader.loop.time())
            if verdict is Verdict.CHECK and not self._unread.over:
                await reader.check()
            if verdict is not Verdict.ALIVE and not self._unread.over:
                await (self._shake_hands() if liveness.shaking_hands else self._probe())
            elif not self._unread.over and self._repairable():
                await self._shake_hands()
        except BackendError as error:
            reader.broker_failed(error)
            return liveness.pauses.next()
        if not liveness.awaiting_answer:
            await reader.task.unsubscribe(keep=1)  # the probe's
        now = reader.loop.time()
        return max(_LEAST_WAIT, liveness.due(now) - now)

    def due_in(self) -> float:
        return 0.0  # ``act`` looks

    def _repairable(self) -> bool:
        """Tell whether something was lost, and half of the window is free for it."""
        half = self._reader.shared.options.window // 2
        return self._overflowed and not self._inbox and self._unread.room >= half

    async def _take_inbox(self) -> None:
        unread, liveness = self._unread, self._liveness
        while self._inbox and not unread.over and (liveness.shaking_hands or unread.room > 0):
            message = self._inbox[0]
            if message == _END and len(self._inbox) == 1 and await self._may_be_end():
                await self._look_for_end()  # it may have come since
                if len(self._inbox) > 1:
                    continue
                if self._whole and not liveness.shaking_hands:
                    self._reader.end()
                else:
                    # If anything may be missing around the marker, it may as well be text.
                    self._reader.end_as(Ending(Status.LOST))
                return
            self._inbox.popleft()
            self._inbox_bytes -= len(message)
            text = decode_text(message)
            if liveness.shaking_hands:
                if not self._certain and (not text or text[0] == _REPLACEMENT):
                    await self._start_over()
                    return
                self._certain = True
                self._reader.join()
                if not text:
                    continue
            self._units += length(text, OffsetUnit.UTF16)
            self._reader.deliver([text])

    async def _start_over(self) -> None:
        """The offset may be beyond the text, or inside a pair: read from 0 and count."""
        self._certain = True
        self._units = 0
        self._unread.leave_out(self._reader.start.offset)
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
        produced = await self._is_produced()
        return not produced and not self._dropped and len(self._inbox) == came

    async def _is_produced(self) -> bool:
        """Tell whether the sentinel is that of a TypeScript producer that runs."""
        shared = self._reader.shared
        where = await look_up(shared.backend, shared.names, self._reader.stream_id)
        return where == Elsewhere(None)

    async def _catch_up(self) -> bool:
        """Wait until what the producer has sent so far is here: a message sent now comes after."""
        self._marked.clear()
        self._mark = self._mark_prefix + secrets.token_bytes(8)
        channel = self._reader.shared.names.chunk(self._listener_id)
        for _ in range(_MARKS):
            await self._reader.shared.backend.publish(channel, self._mark)
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT):
                    await self._marked.wait()
            except TimeoutError:
                continue  # it may have been lost: send it again
            return True
        return False

    def _on_loss(self, loss: Loss) -> None:
        self._reader.on_loss(loss)
        self._overflowed = True

    def sight(self, where: Whereabouts) -> Sighting:
        if where == Elsewhere(None):
            return Sighting.ACTIVE
        return Sighting.MISSING if where == Unknown() else Sighting.ANOTHER
