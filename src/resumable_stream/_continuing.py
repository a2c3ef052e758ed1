"""A stream goes on whose producer was lost: another run begins with its text."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, final

from resumable_stream._protocol.lineage import MOST_RUNS
from resumable_stream._protocol.places import Start
from resumable_stream._protocol.whereabouts import Left, Over
from resumable_stream._text.endings import Status
from resumable_stream.errors import InvalidArgumentError, OffsetOutOfRangeError, ProducerLostError

if TYPE_CHECKING:
    from resumable_stream._options import Options
    from resumable_stream._protocol.sentinel import Outcome
    from resumable_stream._replaying import Replaying

logger = logging.getLogger("resumable_stream")


@final
@dataclass(frozen=True, slots=True)
class SoFar:
    """What a lost producer has produced, as far as it is kept."""

    chunks: tuple[str, ...]

    @property
    def text(self) -> str:
        """The chunks, joined."""
        return "".join(self.chunks)


Continue = Callable[[SoFar], AsyncIterable[str] | Awaitable[AsyncIterable[str]]]


class Continuation(NamedTuple):
    """How a caller continues a stream, and how often one may have been continued after that."""

    more: Continue
    most: int

    def continues(self, where: object) -> bool:
        """Tell whether a stream that is there is to go on; its log may still have another end."""
        match where:
            case Over(outcome):
                return self.takes(outcome)
            case Left(run):
                return len(run.lineage.runs) < self.most
        return False

    def takes(self, outcome: Outcome | None) -> bool:
        """Tell whether a stream that has ended so is to go on."""
        return (
            outcome is not None
            and outcome.generation is not None
            and outcome.ending.status is Status.LOST
            and outcome.is_kept()
            and len(outcome.lineage.runs) < self.most
        )


def check_continuation(more: object, most: int, options: Options) -> Continuation | None:
    """Check what a caller passes to continue a stream.

    Raises:
        InvalidArgumentError: it is none; the message names it and what to pass instead.
    """
    if more is None:
        return None
    if not callable(more):
        raise InvalidArgumentError(
            f"continue_lost is {type(more).__name__}, which cannot be called: pass an async "
            "generator function of one argument, which gets what there is so far"
        )
    if options.durability is None:
        raise InvalidArgumentError(
            "continue_lost needs a context that keeps text: pass Options(durability=...)"
        )
    if type(most) is not int or not 1 <= most <= MOST_RUNS:
        raise InvalidArgumentError(
            f"continue_at_most {most!r:.80} must be an integer from 1 to {MOST_RUNS}"
        )
    return Continuation(more, most)


async def kept_of(
    replaying: Replaying, stream_id: str, outcome: Outcome, limit: int
) -> SoFar | None:
    """Read what is kept of a run that was lost; None if that is not all there was, or too much.

    Raises:
        BackendError: the journal did not answer.
    """
    assert outcome.generation is not None  # noqa: S101 - for the type checker
    chunks: list[str] = []
    size = 0
    try:
        reader = await replaying.replay(stream_id, outcome.generation, Start())
        while reader is not None:
            run = await reader.next_run()
            chunks += run
            size += sum(map(len, run))
            if size > limit:
                logger.warning("stream %r: longer than buffer_limit, so not continued", stream_id)
                return None
    except ProducerLostError:
        pass  # as it was sealed
    except OffsetOutOfRangeError as error:
        logger.warning("stream %r: not continued: %s", stream_id, error)
        return None
    return SoFar(tuple(chunks)) if len(chunks) == outcome.end else None
