"""One context on one event loop: the producers it runs and the readers it has."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, NamedTuple, final

from resumable_stream._loops import Background
from resumable_stream._producing.claim import Claim
from resumable_stream._producing.kept import Kept
from resumable_stream._producing.life import Stage
from resumable_stream._producing.producer import Producer
from resumable_stream._producing.publisher import Publisher
from resumable_stream._producing.v1_audience import V1Audience
from resumable_stream._protocol.whereabouts import Elsewhere, Over, Unknown, Whereabouts, look_up
from resumable_stream._reading.elsewhere import attach
from resumable_stream._reading.enrolment import Enrolments
from resumable_stream._reading.local import LocalReader
from resumable_stream._shared import Shared
from resumable_stream._stream import NOT_FOUND, NotFound, ResumableStream
from resumable_stream._text.endings import Ending, Status, error_of
from resumable_stream.errors import (
    BackendError,
    ContextClosedError,
    HandshakeTimeoutError,
    OffsetOutOfRangeError,
    StreamHistoryChangedError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resumable_stream._options import Options
    from resumable_stream._protocol.names import Names
    from resumable_stream._protocol.places import Start
    from resumable_stream._source import MakeStream
    from resumable_stream._stream_end import OnEnd
    from resumable_stream.ports import Backend

logger = logging.getLogger("resumable_stream")

_PAUSE = 0.05


@final
class Here(NamedTuple):
    """This instance produces the stream."""

    producer: Producer


class Instance:
    """The producers and readers of one context on one event loop.

    Attributes:
        loop: the event loop.
        shared: what all of them share.
        producers: by stream id, those whose streams are read here without asking the broker.
        running: those that ``drain`` waits for.
    """

    def __init__(
        self,
        backend: Backend,
        names: Names,
        options: Options,
        wait_until: Callable[[Awaitable[None]], object] | None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.shared = Shared(backend, names, options, Background(self.loop))
        self.producers: dict[str, Producer] = {}
        self.running: dict[Producer, None] = {}
        # Also one that was superseded, while another one already produces its stream here.
        self._unreleased: dict[Producer, None] = {}
        self._kept = Kept(options.grace_period)
        self._wait_until = wait_until
        self._audience = V1Audience(backend)
        self._publisher = Publisher(self.shared)
        self._enrolments = Enrolments(self.shared)
        self._starting: dict[str, asyncio.Lock] = {}
        self._closing = False
        self._ended = False

    async def begin(
        self,
        stream_id: str,
        make_stream: MakeStream,
        start: Start,
        on_end: OnEnd | None,
        *,
        join: bool,
    ) -> ResumableStream | None:
        """Claim the stream and produce it here; return None if it is taken elsewhere.

        A stream that is produced here already is joined, or None without ``join``. Callers for the
        same stream take turns, so that the second one finds the first one's producer.
        """
        lock = self._starting.setdefault(stream_id, asyncio.Lock())
        try:
            async with lock:
                if (producer := self.local(stream_id)) is not None:
                    running = producer.log.ending is None
                    return self._read(producer, start) if join and running else None
                producer = await self._claim(stream_id)
                if producer is None:
                    return None
                self._produce(producer, make_stream, on_end)
                return self._read(producer, start)
        finally:
            if not lock.locked() and self._starting.get(stream_id) is lock:
                del self._starting[stream_id]

    async def join(self, stream_id: str, start: Start) -> ResumableStream | NotFound | None:
        """Read a stream wherever it is; look it up again if that changes meanwhile."""
        deadline: float | None = None  # once the stream was no longer where it had been
        while True:
            match await self.look_up(stream_id):
                case Here(producer):
                    return await self._join_here(producer, start)
                case Elsewhere(generation):
                    now, patience = self.loop.time(), self.shared.options.handshake_timeout
                    if deadline is not None and now > deadline:
                        raise HandshakeTimeoutError(stream_id, start.offset, patience)
                    joined = await self._join_elsewhere(stream_id, generation, start)
                    if joined is not None:
                        return joined
                    # Whoever has it now is asked at least once.
                    deadline = deadline or self.loop.time() + patience
                    await asyncio.sleep(_PAUSE)
                case Over() as over:
                    return await self._join_ended(stream_id, over, start)
                case Unknown():
                    return NOT_FOUND

    async def _join_here(self, producer: Producer, start: Start) -> ResumableStream | None:
        """Read a stream that runs here; once it is over, only if the caller names a place."""
        ending = producer.log.ending
        if ending is None:
            return self._read(producer, start)
        if self._names_a_place(start, producer.generation):
            with contextlib.suppress(OffsetOutOfRangeError):
                return self._read(producer, start)
        # A caller that learns of the end must find what ``on_end`` stores.
        await asyncio.wait({producer.stored})
        _raise_unless_completed(producer.stream_id, ending, start)
        return None

    async def _join_elsewhere(
        self, stream_id: str, generation: int | None, start: Start
    ) -> ResumableStream | None:
        """Read a stream that another instance produces; None if it is no longer that one."""
        if start.event_id is not None and start.event_id.generation != generation:
            raise StreamHistoryChangedError(stream_id)
        return await self._attach(stream_id, generation, start)

    async def _join_ended(self, stream_id: str, over: Over, start: Start) -> ResumableStream | None:
        """Read a stream that is over from its producer, if that still serves it."""
        outcome, generation = over.outcome, over.generation
        if outcome and generation and self._names_a_place(start, generation):
            with contextlib.suppress(HandshakeTimeoutError, OffsetOutOfRangeError):
                if producer := self._kept.find(stream_id, generation):
                    return self._read(producer, start)
                if outcome.is_served():
                    stream = await self._attach(stream_id, generation, start, ended=True)
                    if stream is not None:
                        return stream
        _raise_unless_completed(stream_id, over.ending, start)
        return None

    async def _attach(
        self, stream_id: str, generation: int | None, start: Start, *, ended: bool = False
    ) -> ResumableStream | None:
        """Read a stream from its producer elsewhere; None if it is no longer produced there."""
        if self._ended:
            raise ContextClosedError("this context was closed while the stream was joined")
        shared, enrolments = self.shared, self._enrolments
        reader = await attach(shared, enrolments, stream_id, generation, start, ended=ended)
        return None if reader is None else ResumableStream(reader, self.loop)

    def _names_a_place(self, start: Start, generation: int) -> bool:
        """Tell whether a stream that is over may still be served to this caller."""
        if not self.shared.options.grace_period or not start.named:
            return False
        return start.event_id is None or start.event_id.generation == generation

    async def look_up(self, stream_id: str) -> Here | Whereabouts:
        """Tell where the stream is: here, or wherever the broker says.

        Raises:
            BackendError: the stream is not produced here, and the broker did not answer.
        """
        if (producer := self.local(stream_id)) is not None:
            return Here(producer)
        return await look_up(self.shared.backend, self.shared.names, stream_id)

    def local(self, stream_id: str) -> Producer | None:
        """The producer of the stream, if it is this instance's; a fenced one no longer is."""
        producer = self.producers.get(stream_id)
        if producer is None or producer.log.ending == Ending(Status.SUPERSEDED):
            return None
        return producer

    async def drain(self, patience: float) -> None:
        """Take no new streams, and wait up to ``patience`` seconds for the running ones."""
        self._closing = True
        if running := {producer.drained for producer in self.running}:
            await asyncio.wait(running, timeout=patience)

    async def end(self, *, close_backend: bool) -> None:
        """End truthfully what still runs, and release everything."""
        self._ended = True
        self.shared.background.expect_end()
        self._kept.close()
        producers = list(self._unreleased)
        for producer in producers:
            producer.stop(Ending(Status.LOST))
        if producers:
            await asyncio.wait(
                {producer.settled for producer in producers},
                timeout=self.shared.options.handshake_timeout,
            )
            await asyncio.gather(*(producer.aclose() for producer in producers))
        tasks = list(self.shared.background)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if close_backend:
            await self.shared.backend.aclose()

    async def _claim(self, stream_id: str) -> Producer | None:
        """Make a producer that listens and holds the claim; None if somebody else holds it."""
        claim = Claim(stream_id, self.shared)
        producer = Producer(
            stream_id, claim, self.shared, self._kept, self._audience, self._publisher, self._forget
        )
        won = False
        try:
            await producer.listen()
            won = await self._take(claim)
        finally:
            if not won:
                await producer.abandon()
        return producer if won else None

    async def _take(self, claim: Claim) -> bool:
        """Take the claim; if the caller is cancelled meanwhile, let go of it again."""
        taking = self.loop.create_task(claim.take())
        try:
            won = await asyncio.shield(taking)
        except asyncio.CancelledError:
            if not self.shared.background.is_ending():
                releasing = _release(taking, claim)
                _ = self.shared.background.start(releasing, "resumable-stream release of a claim")
            raise
        if won and self._closing:
            await _release(taking, claim)
            raise ContextClosedError("this context was closed while the stream was starting")
        return won

    def _produce(self, producer: Producer, make_stream: MakeStream, on_end: OnEnd | None) -> None:
        stream_id = producer.stream_id
        self.producers[stream_id] = producer
        self.running[producer] = self._unreleased[producer] = None
        producer.start(make_stream, on_end)
        if self._wait_until is not None:
            try:
                self._wait_until(producer.drained)
            except BaseException:
                producer.stop(Ending(Status.LOST))
                raise

    def _forget(self, producer: Producer) -> None:
        """Forget what the producer no longer is, in the stage that it has come to."""
        if producer.stage >= Stage.DRAINED:
            self.running.pop(producer, None)
            if self.producers.get(producer.stream_id) is producer:
                del self.producers[producer.stream_id]
        if producer.stage >= Stage.RELEASED:
            self._unreleased.pop(producer, None)

    def _read(self, producer: Producer, start: Start) -> ResumableStream:
        return ResumableStream(LocalReader(producer, start, self.shared.options.unit), self.loop)


def _raise_unless_completed(stream_id: str, ending: Ending, start: Start) -> None:
    if (error := error_of(stream_id, ending, start.offset)) is not None:
        raise error


async def _release(taking: asyncio.Task[bool], claim: Claim) -> None:
    try:
        if await taking:
            await claim.release()
    except BackendError as error:
        logger.debug("an abandoned claim is left to its lease: %s", error)
