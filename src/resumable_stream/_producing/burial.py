"""What a dead producer has left in the journal is ended by whoever takes the stream id over."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

from resumable_stream._producing.claim import SupersededError
from resumable_stream._producing.journal_log import JournalLog, seal
from resumable_stream._protocol import sentinel
from resumable_stream._protocol.sentinel import Outcome
from resumable_stream._text.endings import Ending, Status

if TYPE_CHECKING:
    from resumable_stream._producing.claim import Claim
    from resumable_stream._protocol.sentinel import Running
    from resumable_stream._shared import Shared
    from resumable_stream.journal import Journal


async def left_behind(
    stream_id: str, claim: Claim, shared: Shared, journal: Journal
) -> Outcome | None:
    """Return how a producer ended that died, if its text is in the journal, whose log is sealed.

    Only the holder of the claim may conclude that the producer is dead.

    Raises:
        BackendError: the broker or the journal is away; nothing is lost by trying again.
    """
    run = await claim.left_behind()
    if run is None or isinstance(run, Outcome):
        return run
    return await _sealed(stream_id, run, shared, journal)


async def bury(claim: Claim, outcome: Outcome) -> None:
    """Record the end of a producer that died.

    Then the stream is over, as if the producer had recorded it, and its source is not run again.

    Raises:
        BackendError: the broker is away; nothing is lost by trying again.
    """
    # If the claim has run out, its next holder does the same.
    with suppress(SupersededError):
        await claim.bury(outcome)


async def _sealed(stream_id: str, run: Running, shared: Shared, journal: Journal) -> Outcome:
    """End a log whose producer has not recorded how it ends; return its outcome."""
    name = shared.names.journal(stream_id, run.generation)
    # The seal must not expire before what it seals.
    ttl = max(shared.options.retention_ttl, run.retention)
    end = await seal(JournalLog(journal, name, ttl), stream_id, run.generation)
    outcome = Outcome(run.generation, 0, Ending(Status.LOST), lineage=run.lineage)
    if end is not None:
        kept_until = math.ceil(sentinel.wall_clock() + ttl)
        outcome = outcome._replace(end=end.end, ending=end.ending, kept_until=kept_until)
    return outcome
