"""What has become of a stream, and stopping it, wherever it is produced."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from resumable_stream._finding import Here
from resumable_stream._producing.journal_log import JournalLog, end_in
from resumable_stream._protocol.whereabouts import Elsewhere, Left, Over, Unknown
from resumable_stream._reading.canceller import cancel_elsewhere
from resumable_stream._status import (
    CancelResult,
    StreamState,
    StreamStatus,
    cancel_result,
    status_of,
)
from resumable_stream._text.endings import Ending, Status

if TYPE_CHECKING:
    from resumable_stream._instance import Instance
    from resumable_stream._shared import Shared


async def status(instance: Instance, stream_id: str) -> StreamStatus:
    """Tell what has become of a stream.

    Raises:
        BackendError: it is not produced here, and the broker did not answer, or the journal that
            has the text of a dead producer.
    """
    match await instance.finding.look_up(stream_id):
        case Here(producer):
            known = producer.log.ending if producer.life.stored.done() else None
            return status_of(known, producer.generation, producer.kept_until)
        case Elsewhere(generation):
            return status_of(None, generation)
        case Over() as over:
            kept_until = over.outcome.kept_until if over.outcome else 0
            return status_of(over.ending, over.generation, kept_until)
        case Left(run):
            ending = await _ending_left(instance.shared, stream_id, run.generation)
            return status_of(ending, run.generation, run.kept_until)
        case Unknown():
            return StreamStatus(StreamState.NOT_FOUND)


async def _ending_left(shared: Shared, stream_id: str, generation: int) -> Ending:
    """Return how the text of a producer ends that may have died after it had written that."""
    end = None
    if shared.journal is not None:
        log = JournalLog(shared.journal, shared.names.journal(stream_id, generation), ttl=1)
        end = await end_in(log, stream_id, generation)
    return end.ending if end is not None else Ending(Status.LOST)


async def cancel(instance: Instance, stream_id: str) -> CancelResult:
    """Stop a stream, and wait until its source is closed.

    Raises:
        BackendError: it is not produced here, and the broker did not answer.
    """
    shared = instance.shared
    match await instance.finding.look_up(stream_id):
        case Here(producer):
            stopped = producer.stop(Ending(Status.CANCELLED))
            await asyncio.wait({producer.settled}, timeout=shared.options.cancel_timeout)
            return CancelResult.CANCELLED if stopped else CancelResult.ALREADY_OVER
        case Elsewhere(generation):
            return cancel_result(await cancel_elsewhere(shared, stream_id, generation))
        case Over() | Left():
            return CancelResult.ALREADY_OVER
        case Unknown():
            return CancelResult.NOT_FOUND
