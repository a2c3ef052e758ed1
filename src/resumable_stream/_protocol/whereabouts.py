"""Where a stream is: the one answer from which join, status, cancel and each reader decide."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from resumable_stream._protocol.lineage import Lineage
from resumable_stream._protocol.sentinel import DONE, Outcome, Running, generation_of, left_in
from resumable_stream._text.endings import Ending, Status

if TYPE_CHECKING:
    from resumable_stream._protocol.names import Names
    from resumable_stream.ports import KeyValue

logger = logging.getLogger("resumable_stream")

# If the record cannot be read, the ending is unknown, and must not look complete.
_UNREADABLE = Outcome(None, 0, Ending(Status.LOST))


@final
@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody produces the stream, and no end is remembered."""


@final
@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Some instance produces the stream; ``generation`` is None for a TypeScript peer."""

    generation: int | None


@final
@dataclass(frozen=True, slots=True)
class Over:
    """The stream has ended; ``outcome`` is None for a TypeScript peer, which writes no record."""

    outcome: Outcome | None

    @property
    def ending(self) -> Ending:
        return self.outcome.ending if self.outcome else Ending(Status.COMPLETED)

    @property
    def generation(self) -> int | None:
        return self.outcome.generation if self.outcome else None

    @property
    def lineage(self) -> Lineage:
        return self.outcome.lineage if self.outcome else Lineage()


@final
@dataclass(frozen=True, slots=True)
class Left:
    """Nobody produces the stream, and its last producer has left text in the journal."""

    run: Running


Whereabouts = Unknown | Elsewhere | Over | Left


async def look_up(
    store: KeyValue, names: Names, stream_id: str, *, journaled: bool = False
) -> Whereabouts:
    """Read the stream's sentinel and, unless it is active, what stands beside it.

    Args:
        store: where they are.
        names: of the keys.
        stream_id: which stream.
        journaled: look for text that a dead producer has left, too.

    Raises:
        BackendError: the broker did not answer.
    """
    value, key = await store.get(names.sentinel(stream_id)), names.outcome(stream_id)
    if value is None and journaled and (left := left_in(await store.get(key))) is not None:
        # A producer may have claimed the stream, and left this, between the two looks.
        value = await store.get(names.sentinel(stream_id))
        if value is None:
            return Left(left) if isinstance(left, Running) else Over(left)
    record = await store.get(key) if value == DONE else None
    if Running.decode(record) is not None:
        # Somebody has continued the stream between the two looks.
        value = await store.get(names.sentinel(stream_id))
        record = await store.get(key) if value == DONE else None
    return whereabouts(value, _outcome(key, record))


def whereabouts(sentinel: str | None, outcome: Outcome | None = None) -> Whereabouts:
    """Return where a stream with this sentinel is; the outcome counts only beside ``DONE``."""
    if sentinel is None:
        return Unknown()
    if sentinel == DONE:
        return Over(outcome)
    return Elsewhere(generation_of(sentinel) or None)


def _outcome(key: str, record: str | None) -> Outcome | None:
    outcome = Outcome.decode(record)
    if outcome is None and record is not None:
        logger.warning(
            "the record %r cannot be read: its stream counts as lost; find out what wrote it, "
            "another program or a newer version of this library, and give it a key_prefix of its "
            "own",
            key,
        )
        return _UNREADABLE
    return outcome
