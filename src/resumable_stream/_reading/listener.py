"""How to read from this library's own producers: shake hands, follow, notice gaps, repair them."""

from __future__ import annotations

import asyncio
import logging
import secrets
from functools import partial
from typing import TYPE_CHECKING

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
from resumable_stream._reading.liveness import Sighting, Verdict
from resumable_stream._text.endings import Status
from resumable_stream._text.offsets import inside_pair
from resumable_stream.errors import (
    BackendError,
    InvalidEventIdError,
    OffsetOutOfRangeError,
    StreamHistoryChangedError,
)

if TYPE_CHECKING:
    from resumable_stream._protocol.whereabouts import Whereabouts
    from resumable_stream._reading.enrolment import Enrolment, Enrolments
    from resumable_stream._reading.remote import RemoteReader
    from resumable_stream.ports import Loss

logger = logging.getLogger("resumable_stream")

_LEAST_WAIT = 0.01
# Until attached, each request asks for little: several of them may be answered.
_FIRST_WINDOW = 128 * 1024


class Listener:
    """The dialect of version 2, spoken with one generation of a stream.

    Catch-up is pulled: each request names the reader's place and how much it can take. Live text is
    pushed on a channel that all listeners of the generation share. What is missed is asked for
    again.
    """

    __slots__ = (
        "_asked_place",
        "_assembly",
        "_came_bytes",
        "_came_cost",
        "_enrolment",
        "_enrolments",
        "_generation",
        "_id",
        "_liveness",
        "_reader",
        "_resync",
        "_retry_at",
        "_unread",
        "_was_behind",
        "_whole",
    )

    replaced = Status.SUPERSEDED

    def __init__(self, reader: RemoteReader, generation: int, enrolments: Enrolments) -> None:
        self._reader = reader
        self._liveness = reader.liveness
        self._unread = reader.unread
        self._generation = generation
        self._id = secrets.token_hex(16)
        self._assembly = Assembly(hold=reader.shared.options.window)
        self._enrolments = enrolments
        self._enrolment: Enrolment | None = None  # once attached
        self._retry_at = reader.loop.time()
        self._asked_place: Place | None = None
        self._came_bytes = 0
        self._came_cost = 0
        self._was_behind = True
        self._resync = False
        self._whole = False  # the reader's text begins with a whole chunk

    def event_id(self, unread: int, *, begun: bool) -> str | None:
        place = self._assembly.place
        if place is None:
            wanted = self._reader.start.event_id
            own = wanted is not None and wanted.generation == self._generation
            return str(wanted) if own else None
        if not (begun or self._whole):
            return None
        return str(EventId(self._generation, place.sequence - unread))

    async def open(self) -> None:
        channel_ids = (live_id(self._reader.stream_id, self._generation), self._id)
        tasks = [
            self._reader.loop.create_task(
                self._reader.task.subscribe(
                    channel_id, partial(self._on_message, channel_id), self._on_loss
                )
            )
            for channel_id in channel_ids
        ]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            raise

    async def leave(self) -> None:
        leave = [Request(self._id, type=RequestType.LEAVE, generation=self._generation)]
        if self._enrolment is not None:
            leave += await self._enrolment.let_go(self._reader)
        await self._reader.shared.ask(self._reader.stream_id, *leave)

    async def act(self) -> float:
        now, liveness = self._reader.loop.time(), self._liveness
        verdict = liveness.verdict(now)
        if self._wants_text(verdict) and now >= self._retry_at:
            most = self._most_text() if liveness.attached else _FIRST_WINDOW
            await self._ask(max(1, min(most, self._unread.room)))
        # An answer may have come meanwhile, or the end.
        if liveness.verdict(now) is Verdict.CHECK and not self._unread.over:
            liveness.checking(now)
            await self._reader.check()
        return max(_LEAST_WAIT, self.due_in())

    def _wants_text(self, verdict: Verdict) -> bool:
        if verdict is not Verdict.ALIVE or self._resync:
            return True
        return self._assembly.behind and self._unread.room >= self._window // 2

    @property
    def _window(self) -> int:
        return self._reader.shared.options.window

    def _most_text(self) -> int:
        """Return how much text there is room for, if its chunks are like those that came."""
        text, cost, room = self._came_bytes, self._came_cost, self._unread.room
        return room * text // cost if cost > text > 0 else room

    def due_in(self) -> float:
        now = self._reader.loop.time()
        verdict, due = self._liveness.verdict(now), self._liveness.due(now)
        if self._wants_text(verdict):
            due = min(due, self._retry_at)
        # A timer may go off a little early.
        return due - now if due - now >= _LEAST_WAIT else 0

    async def _ask(self, window: int) -> None:
        reader, liveness, options = self._reader, self._liveness, self._reader.shared.options
        place, origin = self._assembly.place, None
        self._asked_place = place
        if place is None and (wanted := reader.start.event_id) is not None:
            place = Place(wanted.sequence)
            origin = wanted.generation if wanted.generation != self._generation else None
        request = Request(
            self._id,
            generation=self._generation,
            skip=reader.start.offset,
            unit=options.unit,
            place=place,
            window=window,
            origin=origin,
        )
        now = reader.loop.time()
        self._retry_at = now + liveness.pauses.next()
        try:
            await reader.shared.ask(reader.stream_id, request)
        except BackendError as error:
            self._retry_at = reader.loop.time() + liveness.pauses.next()
            reader.broker_failed(error)
            return
        liveness.answered(now, reader.loop.time())
        liveness.asked(now)

    def _on_message(self, channel_id: str, message: bytes) -> None:
        if self._unread.over:
            return
        try:
            frame = self._reader.shared.decoder.decode(channel_id, message)
        except MalformedFrameError as error:
            logger.warning("stream %r: %s", self._reader.stream_id, error)
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
                # A damaged frame, or a TypeScript producer has taken over: the sentinel tells.
                self._liveness.suspect(self._reader.loop.time())
                self._reader.task.wake()

    def _take_end(self, frame: EndFrame) -> None:
        if frame.ending.status is Status.SUPERSEDED:
            self._reader.end_as(frame.ending)
            return
        self._liveness.heard(self._reader.loop.time())
        self._assembly.note(frame)
        self._look_on()

    def _take(self, frame: DataFrame, *, own: bool) -> None:
        reader, assembly, unread = self._reader, self._assembly, self._unread
        now = reader.loop.time()
        self._liveness.heard(now)
        if not own and not frame.joined.number and assembly.knows(frame):
            return  # most frames of a stream on which nothing happens
        if own and frame.last:
            # Before the reader is woken: it may read for long before the task has its turn.
            reader.task.wake()
        before, room = assembly.place, unread.room
        if before is None and frame.offset is not None:
            self._begin(frame, frame.offset)
        if room <= 0:
            assembly.note(frame)
        else:
            whole = assembly.accept_whole(frame)
            reader.deliver(frame if whole else assembly.accept(frame))
            self._came_bytes += len(frame.joined.data)
            self._came_cost += room - unread.room
            if assembly.place != before:
                # A reply is on its way: give it time before asking again.
                self._retry_at = max(self._retry_at, now + self._liveness.pauses.upcoming)
        if own:
            self._resync = False
            if self._enrolment is None:
                self._enrolment = self._enrolments.enter(reader, self._generation, assembly)
            reader.join()
            if frame.last and assembly.place != self._asked_place:
                self._retry_at = now  # served: ask on at once; not if that brought nothing
        self._look_on()

    def _look_on(self) -> None:
        """End if all has come; wake the task if something is missing since this frame."""
        assembly = self._assembly
        if assembly.final is not None and assembly.complete:
            self._reader.end_as(assembly.final.ending)
        behind = assembly.behind
        if behind and not self._was_behind:
            self._reader.task.wake()
        self._was_behind = behind

    def _begin(self, frame: DataFrame, offset: int) -> None:
        """Begin with the first reply, which says at which offset its text begins."""
        left_out = 0
        if self._reader.start.event_id is not None:
            self._reader.start_at(offset)
        else:
            left_out = max(0, self._reader.start.offset - offset)
            self._unread.leave_out(left_out)
        self._whole = not frame.place.byte and not left_out

    def _refused(self, frame: RefusalFrame) -> None:
        reader = self._reader
        match frame.refusal:
            case Refusal.TRIMMED:
                reader.end(OffsetOutOfRangeError(reader.stream_id, reader.received(), frame.start))
            case Refusal.INSIDE_PAIR:
                reader.end(inside_pair())
            case Refusal.UNKNOWN_PLACE:
                reader.end(
                    InvalidEventIdError(
                        f"last event id '{reader.start.event_id}' is beyond the stream"
                    )
                )
            case Refusal.NOT_CONTINUED:
                reader.end(StreamHistoryChangedError(reader.stream_id))
            case Refusal.OTHER_HISTORY:
                reader.end(StreamHistoryChangedError(reader.stream_id, frame.start))
            case Refusal.OTHER_GENERATION:
                self._liveness.contradicted(reader.loop.time())
                reader.task.wake()

    def _on_loss(self, loss: Loss) -> None:
        self._reader.on_loss(loss)
        # What was pushed meanwhile is unknown: ask, though nothing looks missing.
        self._resync = True
        self._retry_at = self._reader.loop.time()

    def sight(self, where: Whereabouts) -> Sighting:
        match where:
            case Elsewhere(generation):
                return Sighting.ACTIVE if generation == self._generation else Sighting.ANOTHER
            case Over(outcome):
                if outcome is None or outcome.generation not in {None, self._generation}:
                    return Sighting.ANOTHER
                if outcome.generation is not None:
                    end = EndFrame(self._generation, outcome.end, outcome.ending)
                    self._assembly.note(end)
                    if self._assembly.complete:
                        self._reader.end_as(end.ending)
                return Sighting.OVER
            case _:
                return Sighting.MISSING
