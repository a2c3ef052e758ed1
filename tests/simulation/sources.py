"""The sources of the simulation, and the truth about what they produced."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from resumable_stream._options import Durability
from resumable_stream._protocol.wire import V1_END
from resumable_stream._text.joined import SEPARATORS
from resumable_stream._text.offsets import OffsetUnit
from simulation.clock import HOST

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Callable, Sequence

    from resumable_stream import ResumableStreamContext, SoFar
    from resumable_stream._producing.producer import Producer
    from resumable_stream._text.endings import Ending
    from simulation.clock import Host, SimulatedLoop
    from simulation.timeline import Timeline

_ALPHABET = "abcxyz .\r\n\0\u00e9\u4f60\u0800"
_ASTRAL = "\U0001f600\U0001f468\U00010000\U0010ffff"
_LONE = "\ud800\udfff"
# In the most awkward texts, separators of chunks take the place of these letters.
_SEPARATORS = str.maketrans("cxyz", SEPARATORS)

_STEADY = 0.15
_STEADY_PACE = 0.2
_MOST_STEADY = 200


class SourceError(Exception):
    """The source's own failure."""


@dataclass(frozen=True)
class Script:
    """What a source does: its chunks, the pause before each, and how it ends."""

    chunks: tuple[str, ...]
    pauses: tuple[float, ...]
    fails: bool
    slow_to_close: float
    raises_on_close: bool


@dataclass(eq=False)
class Run:
    """The truth about one run of a source: what it really yielded, when, and where."""

    host: Host
    started: float
    stream_id: str
    generation: int = 0
    chunks: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    exhausted: float | None = None
    closed: float | None = None
    fails: bool = False
    producer: Producer | None = None
    durability: Durability | None = None
    continues: dict[int, int] = field(default_factory=dict)
    """The earlier runs with whose text it begins, and how many chunks of each."""
    released: float | None = None
    """When the producer had ended and released everything."""

    @property
    def ending(self) -> Ending | None:
        """The ending that the producer has set; None while it runs, and for TypeScript peers."""
        return self.producer.log.ending if self.producer is not None else None

    def text(self, unit: OffsetUnit) -> Units:
        return Units("".join(self.chunks), unit)


class Units:
    """Text that is indexed by a unit as JavaScript would do it: slow, and obviously correct."""

    def __init__(self, text: str, unit: OffsetUnit) -> None:
        self.text = text
        self.unit = unit
        if unit is OffsetUnit.UTF16:
            self._units = text.encode("utf-16-le", "surrogatepass")
            self.length = len(self._units) // 2
        else:
            self.length = len(text)

    def after(self, offset: int) -> str:
        if self.unit is OffsetUnit.CODE_POINTS:
            return self.text[offset:]
        return self._units[2 * offset :].decode("utf-16-le", "surrogatepass")

    def after_half(self, offset: int) -> str:
        """Return the text from the offset on; half a pair at its start becomes U+FFFD."""
        if self.splits_pair(offset):
            return "\ufffd" + self.after(offset + 1)
        return self.after(offset)

    def splits_pair(self, offset: int) -> bool:
        if self.unit is OffsetUnit.CODE_POINTS or not 0 < offset < self.length:
            return False
        before = self._units[2 * offset - 1]
        after = self._units[2 * offset + 1]
        return 0xD8 <= before < 0xDC <= after < 0xE0


def draw_script(rng: random.Random, lasts: float, *, plain: bool) -> Script:
    """Draw a source: slow, bursty, failing, empty or with huge chunks; some take ``lasts`` s."""
    alphabet = _ALPHABET
    if rng.random() < 0.5:
        alphabet += _ASTRAL * rng.randrange(1, 6)
    if not plain and rng.random() < 0.1:
        alphabet = alphabet.translate(_SEPARATORS) + _LONE
    count = rng.choice((0, 1, 3, 10, 10, 30, 30, 80))
    size = rng.choice((3, 3, 20, 20, 200))
    huge = rng.random() < 0.15
    chunks: list[str] = []
    for _ in range(count):
        most = rng.choice((5_000, 20_000)) if huge and rng.random() < 0.1 else size
        chunk = "".join(rng.choices(alphabet, k=rng.randrange(most + 1)))
        chunks.append(_repaired(chunk) if _LONE[0] in alphabet else chunk)
    if plain and count > 1 and rng.random() < 0.2:
        # Text that equals the end marker; not the last chunk, which would look like the end.
        chunks[rng.randrange(count - 1)] = V1_END
    pace = rng.choice((0.0, 0.05, 0.5, lasts / (count + 1), 2 * lasts / (count + 1)))
    pauses = tuple(
        rng.choice((-1.0, -1.0, 0.0, pace, rng.uniform(0, 2 * pace))) for _ in range(count + 1)
    )
    steady = chunks and V1_END not in chunks and max(map(len, chunks)) <= _MOST_STEADY
    if steady and rng.random() < _STEADY:
        # The text lasts longer than a listener may be silent, and no pause gives it time to speak.
        count = rng.randrange(20, 150)
        chunks = (chunks * count)[:count]
        pauses = (_STEADY_PACE,) * count + (rng.choice((0.0, _STEADY_PACE)),)
    return Script(
        tuple(chunks),
        pauses,
        fails=rng.random() < 0.2,
        slow_to_close=rng.choice((0.0, 0.0, 0.0, 0.5, 7.0)),
        raises_on_close=rng.random() < 0.05,
    )


def _repaired(chunk: str) -> str:
    """Keep two halves of a pair apart: a decoder would make them one character."""
    return chunk.replace(_LONE, _LONE[0] + "-" + _LONE[1])


class Sources:
    """Makes the sources of one stream id, and records every run."""

    def __init__(
        self, stream_id: str, loop: SimulatedLoop, timeline: Timeline, draw: Callable[[], Script]
    ) -> None:
        self.stream_id = stream_id
        self.runs: list[Run] = []
        self._loop = loop
        self._timeline = timeline
        self._draw = draw

    def on(self, context: ResumableStreamContext) -> Callable[[], AsyncIterator[str]]:
        return lambda: self._run(context, ())

    def more_on(self, context: ResumableStreamContext) -> Callable[[SoFar], AsyncIterator[str]]:
        return lambda so_far: self._run(context, so_far.chunks)

    def _run(self, context: ResumableStreamContext, chunks: Sequence[str]) -> AsyncIterator[str]:
        host = HOST.get()
        assert host is not None
        run = Run(host, self._loop.now, self.stream_id, chunks=list(chunks))
        run.times = [self._loop.now] * len(chunks)
        bound = context._binding.instance
        if bound is not None and (producer := bound.producers.get(self.stream_id)):
            run.generation, run.producer = producer.generation, producer
            run.continues = dict(producer.lineage.runs)
            if bound.shared.journal is not None and bound.shared.options.durability:
                run.durability = Durability(bound.shared.options.durability)
        script = self._draw()
        run.fails = script.fails
        self.runs.append(run)
        if run.producer is not None:
            run.producer.life.drained.add_done_callback(partial(self._released, run))
        self._timeline.note(host, "runs the source as generation", run.generation, run.continues)
        return self._produce(run, script)

    def _released(self, run: Run, _drained: object) -> None:
        run.released = self._loop.now

    async def _produce(self, run: Run, script: Script) -> AsyncIterator[str]:
        loop = self._loop
        try:
            for chunk, pause in zip(script.chunks, script.pauses, strict=False):
                if pause >= 0:
                    await asyncio.sleep(pause)
                run.chunks.append(chunk)
                run.times.append(loop.now)
                self._timeline.note(run.host, "produces", len(run.chunks) - 1, chunk)
                yield chunk
            await asyncio.sleep(max(0.0, script.pauses[-1]))
            run.exhausted = loop.now
            self._timeline.note(run.host, "fails" if script.fails else "has produced all")
            if script.fails:
                raise SourceError("as planned")
        finally:
            if run.exhausted is None and script.slow_to_close:
                await asyncio.sleep(script.slow_to_close)
            run.closed = loop.now
            self._timeline.note(run.host, "closes the source")
            if run.exhausted is None and script.raises_on_close:
                raise SourceError("on closing")
