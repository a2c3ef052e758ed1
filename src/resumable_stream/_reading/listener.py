"""Read a stream of one of this library's own producers: shake hands, follow, notice, repair."""

from __future__ import annotations

import asyncio
import logging
import secrets
from functools import partial
from typing import TYPE_CHECKING

from resumable_stream._options import staggered
from resumable_stream._protocol.names import live_id
from resumable_stream._protocol.places import EventId, Place
from resumable_stream._protocol.whereabouts import Elsewhere, Over
from resumable_stream._protocol.wire import (
    DataFrame,
    EndFrame,
    MalformedFrameError,
    Refusal,
    RefusalFrame,
    Request,
    RequestType,
)
from resumable_stream._reading.assembly import Assembly
from resumable_stream._reading.remote import CHUNK_COST, Attached, RemoteReader
from resumable_stream._text.endings import Ending, Status
from resumable_stream._text.offsets import inside_pair
from resumable_stream.errors import (
    BackendError,
    InvalidEventIdError,
    OffsetOutOfRangeError,
    ProducerLostError,
)

if TYPE_CHECKING:
    from resumable_stream._protocol.places import Start
    from resumable_stream._protocol.whereabouts import Whereabouts
    from resumable_stream._shared import Shared
    from resumable_stream.ports import Loss

logger = logging.getLogger("resumable_stream")

# While nobody answers, the sentinel is looked at this often, or ten times a lease.
_CHECK_EVERY = 1.0
_CHECK_FIRST = 0.2
_LEAST_WAIT = 0.01
# A stream that is over may be served no longer: its producer is not waited for as a living one is.
_ENDED_TIMEOUT = 2.0
# A handshake may be answered several times over: ask for little until it is done.
_FIRST_WINDOW = 128 * 1024


class Listener(RemoteReader):
    """A reader of one generation of a stream.

    Catch-up is pulled: each request names the place this reader stands at and how much it can take.
    Live text is pushed on a channel that all listeners of the generation share. Whatever is missed
    is asked for again.

    Args:
        ended: the stream is over, and perhaps still served.
    """

    __slots__ = (
        "_asked_place",
        "_assembly",
        "_beat_at",
        "_begun_ended",
        "_came_bytes",
        "_came_chunks",
        "_check_at",
        "_generation",
        "_id",
        "_left_at",
        "_resync",
        "_retry_at",
        "_was_behind",
        "_whole",
    )

    def __init__(
        self,
        stream_id: str,
        generation: int,
        shared: Shared,
        start: Start,
        *,
        ended: bool = False,
    ) -> None:
        super().__init__(stream_id, shared, start)
        self._begun_ended = ended
        if ended:
            self._handshake_timeout = min(self._handshake_timeout, _ENDED_TIMEOUT)
        self._generation = generation
        self._id = secrets.token_hex(16)
        self._assembly = Assembly(hold=shared.options.window)
        self._retry_at = 0.0
        self._beat_at = 0.0
        self._check_at = self._began + _CHECK_FIRST
        self._asked_place: Place | None = None
        self._came_bytes = 0
        self._came_chunks = 0
        self._was_behind = True
        self._resync = False
        self._whole = False  # what is read next begins with a whole chunk
        self._left_at: int | None = None

    @property
    def last_event_id(self) -> str | None:
        sequence = self._next_sequence()
        return None if sequence is None else str(EventId(self._generation, sequence))

    def close(self) -> None:
        self._left_at = self._next_sequence()
        super().close()

    def _next_sequence(self) -> int | None:
        """The sequence number of the chunk to be read next, if it begins with that."""
        begun = self._whole or self._begun or self._read
        if self._left_at is None and begun and self._assembly.place:
            return self._assembly.place.sequence - self._unread - len(self._run) + self._read
        return self._left_at

    async def _open(self) -> None:
        channel_ids = (live_id(self.stream_id, self._generation), self._id)
        tasks = [self._loop.create_task(self._subscribe(channel_id)) for channel_id in channel_ids]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            raise

    async def _subscribe(self, channel_id: str) -> None:
        self._subscriptions.append(
            await self._shared.backend.subscribe(
                self._shared.names.chunk(channel_id),
                partial(self._on_message, channel_id),
                self._on_loss,
            )
        )

    async def _leave(self) -> None:
        leave = Request(self._id, type=RequestType.LEAVE, generation=self._generation)
        await self._shared.ask(self.stream_id, leave)

    async def _act(self) -> float:
        now = self._loop.time()
        if self._wants_text() and now >= self._retry_at:
            most = self._most_text() if self._attached.done() else _FIRST_WINDOW
            await self._ask(max(1, min(most, self._room())))
        elif now >= self._beat_at and not self._unanswered():
            await self._ask(0)
        if now >= self._check_at and self._unanswered():
            self._check_at = now + (
                min(_CHECK_EVERY, self._options.lease / 10)
                if self._attached.done()
                else self._pause
            )
            await self._check()
        return self._idle_for()

    def _unanswered(self) -> bool:
        return not self._attached.done() or self._loop.time() - self._heard >= self._patience

    def _wants_text(self) -> bool:
        if self._unanswered() or self._resync:
            return True
        return self._assembly.behind and self._room() >= self._options.window // 2

    def _most_text(self) -> int:
        """How much text there is room for, if the chunks to come are like those that came."""
        text, room = self._came_bytes, self._room()
        return room * text // (text + self._came_chunks * CHUNK_COST) if text else room

    def _idle_for(self) -> float:
        """How long until something is due, if nothing comes."""
        if self._unanswered():
            due = min(self._retry_at, self._check_at)
        else:
            due = min(self._beat_at, self._heard + self._patience)
            if self._wants_text():
                due = min(due, self._retry_at)
        return max(_LEAST_WAIT, due - self._loop.time())

    async def _ask(self, window: int) -> None:
        place = self._asked_place = self._assembly.place
        if place is None and self._start.event_id is not None:
            place = Place(self._start.event_id.sequence)
        request = Request(
            self._id,
            generation=self._generation,
            skip=self._start.offset,
            unit=self._options.unit,
            place=place,
            window=window,
        )
        now, interval = self._loop.time(), self._options.heartbeat_interval
        self._beat_at = now + interval
        if window:
            self._beat_at = now + interval * staggered(int(self._id, 16))
            self._retry_at = now + self._next_pause()
        try:
            await self._shared.ask(self.stream_id, request)
        except BackendError as error:
            self._retry_at = self._loop.time() + self._next_pause()
            self._broker_failed(error)
            return
        self._broker_answered(now)
        if window and self._asking_since is None:
            self._asking_since = now

    def _on_message(self, channel_id: str, message: bytes) -> None:
        if self._over:
            return
        try:
            frame = self._shared.decoder.decode(channel_id, message)
        except MalformedFrameError as error:
            logger.warning("stream %r: %s", self.stream_id, error)
            return
        match frame:
            case DataFrame():
                if frame.generation == self._generation:
                    self._take(frame, own=channel_id == self._id)
            case EndFrame():
                if frame.generation == self._generation:
                    self._take_end(frame)
            case RefusalFrame() if channel_id == self._id:
                # A foreign generation may only say that it is not the one asked for.
                foreign = frame.generation != self._generation
                if foreign is (frame.refusal is Refusal.OTHER_GENERATION):
                    self._refused(frame)
            case None:
                # Damaged, or a TypeScript producer's, who would have left its mark in the sentinel.
                self._check_at = 0.0
                self._changed.set()

    def _take_end(self, frame: EndFrame) -> None:
        if frame.ending.status is Status.SUPERSEDED:
            self._end_as(frame.ending)
            return
        self._listen_again()
        self._assembly.note(frame)
        self._look_on()

    def _take(self, frame: DataFrame, *, own: bool) -> None:
        self._listen_again()
        assembly = self._assembly
        if assembly.place is None and frame.offset is not None:
            self._begin(frame)
        if self._room() <= 0:
            assembly.note(frame)
        else:
            before = assembly.place
            self._came_bytes += len(frame.payload)
            self._came_chunks += len(frame.lengths)
            self._deliver(assembly.accept(frame))
            if assembly.place != before:
                # A reply is on its way: give it time before asking again.
                self._retry_at = max(self._retry_at, self._heard + self._pause)
        if own:
            self._resync = False
            self._answer(Attached.YES)
            if frame.last:
                # Served: ask on at once, unless that brought nothing.
                if assembly.place != self._asked_place:
                    self._retry_at = 0.0
                self._changed.set()
        self._look_on()

    def _look_on(self) -> None:
        """End, if all is there, or see to what is missing by now."""
        assembly = self._assembly
        if assembly.final is not None and assembly.complete:
            self._end_as(assembly.final.ending)
        behind = assembly.behind
        if behind and not self._was_behind:
            self._changed.set()
        self._was_behind = behind

    def _begin(self, frame: DataFrame) -> None:
        """The first reply says where the text begins."""
        assert frame.offset is not None  # noqa: S101
        if self._start.event_id is not None:
            self._offset = frame.offset
        else:
            self._skip.remaining = max(0, self._start.offset - frame.offset)
        self._whole = not frame.place.byte and not self._skip.remaining

    def _refused(self, frame: RefusalFrame) -> None:
        match frame.refusal:
            case Refusal.TRIMMED:
                self._end(OffsetOutOfRangeError(self.stream_id, self._received(), frame.start))
            case Refusal.INSIDE_PAIR:
                self._end(inside_pair())
            case Refusal.UNKNOWN_PLACE:
                self._end(
                    InvalidEventIdError(
                        f"last event id '{self._start.event_id}' is beyond the stream"
                    )
                )
            case Refusal.OTHER_GENERATION:
                # Only the sentinel knows which of the two is the zombie.
                self._heard = -float("inf")
                self._check_at = 0.0
                self._changed.set()

    def _on_loss(self, loss: Loss) -> None:
        super()._on_loss(loss)
        # What was pushed meanwhile is unknown: ask, though nothing looks missing.
        self._resync = True
        self._retry_at = 0.0

    def _same(self, where: Whereabouts) -> bool:
        if self._begun_ended and isinstance(where, Over):
            return True
        return where == Elsewhere(self._generation)

    def _judge(self, where: Whereabouts) -> None:
        if isinstance(where, Elsewhere) and where.generation != self._generation:
            self._end_as(Ending(Status.SUPERSEDED))
            return
        outcome = where.outcome if isinstance(where, Over) else None
        if outcome is not None and outcome.generation == self._generation:
            self._assembly.note(EndFrame(self._generation, outcome.end, outcome.ending))
            if self._assembly.complete:
                self._end_as(outcome.ending)
                return
        elif isinstance(where, Over) and (outcome is None or outcome.generation is not None):
            self._end_as(Ending(Status.SUPERSEDED))
            return
        # An active sentinel means a producer that is alive, though nothing comes through.
        patience = self._options.lease
        if isinstance(where, Elsewhere):
            patience = max(patience, self._options.outage_timeout)
        if self._given_up(where, patience):
            self._end(ProducerLostError(self.stream_id, self._received()))
