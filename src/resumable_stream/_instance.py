"""One context on one event loop: the producers it runs and the readers it has."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from resumable_stream._expecting import Expecting
from resumable_stream._finding import Finding
from resumable_stream._joining import Joining
from resumable_stream._loops import Background
from resumable_stream._producing.claim import Claim
from resumable_stream._producing.kept import Kept
from resumable_stream._producing.life import Stage
from resumable_stream._producing.producer import Producer
from resumable_stream._producing.publisher import Publisher
from resumable_stream._producing.v1_audience import V1Audience
from resumable_stream._protocol.sentinel import DONE
from resumable_stream._protocol.whereabouts import Left, Over, look_up
from resumable_stream._replaying import Replaying
from resumable_stream._shared import Shared
from resumable_stream._text.endings import Ending, Status
from resumable_stream.errors import BackendError, ContextClosedError
from resumable_stream.journal import OpenedJournal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from resumable_stream._continuing import Continuation
    from resumable_stream._journals import JournalSource
    from resumable_stream._options import Options
    from resumable_stream._protocol.names import Names
    from resumable_stream._protocol.places import Start
    from resumable_stream._source import MakeStream
    from resumable_stream._stream import ResumableStream
    from resumable_stream._stream_end import OnEnd
    from resumable_stream.ports import Backend

logger = logging.getLogger("resumable_stream")


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
        journals: JournalSource,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._owns_journal = journals.owned
        self.shared = Shared(backend, journals.open(backend), names, options, Background(self.loop))
        self.producers: dict[str, Producer] = {}
        self.running: dict[Producer, None] = {}
        # Also one that was superseded, while another one already produces its stream here.
        self._unreleased: dict[Producer, None] = {}
        self._kept = Kept(options.grace_period)
        self.finding = Finding(self.shared, self.local)
        self.replaying = Replaying(self.shared, self.finding)
        self.joining = Joining(self.shared, self._kept, self.finding, self.replaying)
        self.expecting = Expecting(self.joining)
        self._wait_until = wait_until
        self._audience = V1Audience(backend)
        self._publisher = Publisher(self.shared)
        self._starting: dict[str, asyncio.Lock] = {}
        self._closing = False

    async def begin(
        self,
        stream_id: str,
        make_stream: MakeStream,
        start: Start,
        on_end: OnEnd | None,
        *,
        join: bool,
        continuation: Continuation | None = None,
    ) -> ResumableStream | None:
        """Claim the stream and produce it here; return None if it is taken elsewhere.

        A stream that is produced here already is joined, or None without ``join``. Callers for the
        same stream take turns, so that the second one finds the first one's producer.
        """
        lock = self._starting.setdefault(stream_id, asyncio.Lock())
        try:
            async with lock:
                if (producer := self.local(stream_id)) is not None:
                    if join and producer.log.ending is None:
                        return await self.joining.join_here(producer, start)
                    if continuation is None or producer.log.ending != Ending(Status.LOST):
                        return None
                    await asyncio.wait({producer.settled})
                fresh = start.event_id is None  # a new run has no place for an event id
                claimed = await self._claim(stream_id, make_stream, continuation, fresh=fresh)
                if claimed is None:
                    return None
                producer, source = claimed
                self._produce(producer, source, on_end)
                return await self.joining.join_here(producer, start)
        finally:
            if not lock.locked() and self._starting.get(stream_id) is lock:
                del self._starting[stream_id]

    async def is_lost(
        self, stream_id: str, start: Start, continuation: Continuation | None
    ) -> bool:
        """Tell whether the event id's stream was lost, and this caller would continue it."""
        if continuation is None or start.event_id is None:
            return False
        generation = start.event_id.generation
        match await self.finding.look_up(stream_id, generation):
            case (Over(run) | Left(run)) as where if run is not None:
                own = run.generation == generation or run.lineage.end_of(generation) is not None
                return own and continuation.continues(where)
        return False

    def local(self, stream_id: str) -> Producer | None:
        """The producer of the stream, if it is this instance's; a fenced one no longer is."""
        producer = self.producers.get(stream_id)
        if producer is None or producer.is_fenced:
            return None
        return producer

    def let_go(self, stream_id: str, generation: int | None) -> None:
        """Forget a run that is over, and that is erased."""
        producer = self.producers.get(stream_id)
        if producer is not None and producer.generation == generation:
            del self.producers[stream_id]
            producer.erase()
        if generation and (kept := self._kept.find(stream_id, generation)):
            kept.erase()

    async def drain(self, patience: float) -> None:
        """Take no new streams, and wait up to ``patience`` seconds for the running ones."""
        self._closing = True
        if running := {producer.life.drained for producer in self.running}:
            await asyncio.wait(running, timeout=patience)

    async def end(self, *, close_backend: bool) -> None:
        """End truthfully what still runs, and release everything."""
        self.finding.closed = True
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
        if self._owns_journal and isinstance(self.shared.journal, OpenedJournal):
            await self.shared.journal.aclose()
        if close_backend:
            await self.shared.backend.aclose()

    async def _claim(
        self,
        stream_id: str,
        make_stream: MakeStream,
        continuation: Continuation | None,
        *,
        fresh: bool,
    ) -> tuple[Producer, MakeStream] | None:
        """Make a producer that listens and holds the claim, and its source.

        Return None if somebody else holds it, or if it was spent on the end of a dead producer;
        without ``fresh`` also if there is nothing to continue.
        """
        claim = Claim(stream_id, self.shared)
        producer = Producer(
            stream_id, claim, self.shared, self._kept, self._audience, self._publisher, self._forget
        )
        source: MakeStream | None = None
        try:
            await producer.listen()
            won = await self._take(claim)
            if (
                not won
                and continuation is not None
                and await self._goes_on(stream_id, continuation)
            ):
                won = await self._take(claim, DONE)
            if won:
                source = await self._begun(claim, producer, make_stream, continuation)
            if source is make_stream and not fresh:
                source = None
                await _release(claim)
            if source is not None and self._closing:
                source = None
                await _release(claim)
                raise ContextClosedError("this context was closed while the stream was starting")
        finally:
            if source is None:
                await producer.abandon()
        return None if source is None else (producer, source)

    async def _goes_on(self, stream_id: str, continuation: Continuation) -> bool:
        """Tell whether the stream is over, and is to be continued."""
        match await look_up(self.shared.backend, self.shared.names, stream_id):
            case Over(outcome):
                return continuation.takes(outcome)
        return False

    async def _begun(
        self,
        claim: Claim,
        producer: Producer,
        make_stream: MakeStream,
        continuation: Continuation | None,
    ) -> MakeStream | None:
        """Return what to run under a claim; None if it was spent on the end of a dead producer."""
        shared = self.shared
        if shared.journal is None or shared.options.durability is None:
            return make_stream
        from resumable_stream._succeeding import succeed  # noqa: PLC0415 - most keep nothing

        try:
            return await succeed(
                claim, producer, make_stream, continuation, shared, shared.journal, self.replaying
            )
        except BaseException:
            if not shared.background.is_ending():
                releasing = _release(claim)
                _ = shared.background.start(releasing, "resumable-stream release of a claim")
            raise

    async def _take(self, claim: Claim, ended: str | None = None) -> bool:
        """Take the claim; if the caller is cancelled meanwhile, let go of it again."""
        taking = self.loop.create_task(claim.take(ended))
        try:
            won = await asyncio.shield(taking)
        except asyncio.CancelledError:
            if not self.shared.background.is_ending():
                releasing = _release_if_won(taking, claim)
                _ = self.shared.background.start(releasing, "resumable-stream release of a claim")
            raise
        return won

    def _produce(self, producer: Producer, make_stream: MakeStream, on_end: OnEnd | None) -> None:
        stream_id = producer.stream_id
        self.producers[stream_id] = producer
        self.running[producer] = self._unreleased[producer] = None
        producer.start(make_stream, on_end)
        self.expecting.tell(stream_id)
        if self._wait_until is not None:
            try:
                self._wait_until(producer.life.drained)
            except BaseException:
                producer.stop(Ending(Status.LOST))
                raise

    def _forget(self, producer: Producer) -> None:
        """Forget what the producer no longer is, in the stage that it has come to."""
        if producer.life.stage >= Stage.DRAINED:
            self.running.pop(producer, None)
            if self.producers.get(producer.stream_id) is producer:
                del self.producers[producer.stream_id]
        if producer.life.stage >= Stage.RELEASED:
            self._unreleased.pop(producer, None)


async def _release_if_won(taking: asyncio.Task[bool], claim: Claim) -> None:
    try:
        won = await taking
    except BackendError as error:
        logger.debug("an abandoned claim is left to its lease: %s", error)
    else:
        if won:
            await _release(claim)


async def _release(claim: Claim) -> None:
    try:
        await claim.release()
    except BackendError as error:
        logger.debug("an abandoned claim is left to its lease: %s", error)
