"""P12, and what each durability promises."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from resumable_stream import (
    BackendError,
    ContextClosedError,
    DeleteResult,
    HandshakeTimeoutError,
    InvalidOffsetError,
    OffsetOutOfRangeError,
    ProducerLostError,
    StreamCancelledError,
    StreamFailedError,
)
from resumable_stream._options import Durability
from resumable_stream._protocol.sentinel import DONE, Outcome
from resumable_stream._text.endings import Ending, Status
from resumable_stream._text.offsets import length
from simulation.plan import TypeScript
from simulation.records import check_outcomes, check_records
from simulation.texts import begins_anew

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulation.actors import Visit
    from simulation.excuses import Excuses
    from simulation.kept import Kept
    from simulation.sources import Run
    from simulation.texts import Problem
    from simulation.world import World

_ERRORS: dict[Status, type[Exception]] = {
    Status.FAILED: StreamFailedError,
    Status.CANCELLED: StreamCancelledError,
    Status.LOST: ProducerLostError,
}
_STATUSES = {error: status for status, error in _ERRORS.items()}
_WRITES_AHEAD = {Durability.ASYNC, Durability.SYNC}
_AMPLE = 10**6


def check_kept(world: World, excuses: Excuses) -> Iterator[Problem]:
    """Check all that the journal promises."""
    plan, kept = world.plan, excuses.kept
    if plan.journal is None:
        return
    yield from check_records(world, kept)
    yield from check_outcomes(world, kept)
    yield from _check_sync(world, kept)
    yield from _check_deletions(world, kept)
    if kept.keys_lost() or plan.typescript is TypeScript.PRODUCES:
        return
    yield from _check_runs(world, kept, excuses)
    for visit in world.visits:
        if visit.replay and visit.how != "create":
            yield from _check_visit(world, excuses, visit)


def _check_sync(world: World, kept: Kept) -> Iterator[Problem]:
    """With "sync", no reader holds text that was not in the journal when it got it."""
    assert world.plan.journal is not None
    if world.plan.journal.limit < _AMPLE:
        return  # the rest of a text that is longer is not kept
    for visit in world.visits:
        run = _run_of(world, visit)
        if run is None or run.durability is not Durability.SYNC or visit.first_event_id is None:
            continue
        if kept.gone(run, float("inf")):
            continue
        first = int(visit.first_event_id.partition("-")[2])
        later = [
            one
            for one in world.sources[visit.stream_id].runs
            if run.generation in one.continues or begins_anew(world, visit, one)
        ]
        if any(one.durability is not Durability.SYNC for one in later):
            continue
        written = [record for one in (run, *later) for record in kept.of(one)]
        for number, at in enumerate(visit.times, first + 1):
            until = max((one.until for one in written if one.append.at <= at), default=0)
            if until < number:
                yield "P12", f"a reader has chunk {number - 1} before the journal: {visit}"
                break


def _check_deletions(world: World, kept: Kept) -> Iterator[Problem]:
    """What was erased is gone, and nobody reads it any more."""
    for one in world.deletions:
        if one.result is not DeleteResult.DELETED or one.ended is None:
            continue
        record = kept.erased(one)
        runs = [
            run
            for run in world.sources[one.stream_id].runs
            if record is not None and run.generation == record.generation
        ]
        for run in runs:
            gone = kept.gone(run, one.ended)
            left = [
                written
                for written in kept.of(run)
                if written.append.at <= one.began
                and not any(
                    gap.at >= written.append.at and gap.first <= written.append.index < gap.until
                    for gap in gone
                )
            ]
            if left and not kept.keys_lost():
                yield "P12", f"generation {run.generation} was deleted, and its text is there"
            # A producer that stood still, and was taken for dead, has its text when it wakes up.
            if not kept.is_over_for_good(run, one.began) or kept.keys_lost():
                continue
            deaf = kept.is_cut_off(run, one.began, one.ended)
            for visit in world.visits:
                if visit.reader == "LocalReader" and deaf:
                    continue  # beside a producer that could not hear of it, within its grace
                if visit.began > one.ended and visit.generation == run.generation and visit.chunks:
                    yield "P12", f"reads what was deleted: {visit}"


def _check_runs(world: World, kept: Kept, excuses: Excuses) -> Iterator[Problem]:
    """What a dead producer has left is not produced again by who keeps text."""
    for sources in world.sources.values():
        for run, later in pairwise(sources.runs):
            if run.durability not in _WRITES_AHEAD or later.durability is None:
                continue
            claimed = _claimed(world, later)
            if run.generation in later.continues:
                end = later.continues[run.generation]
                if run.chunks[:end] != later.chunks[:end]:
                    yield "P1", f"{later.generation} continues {run.generation} with another text"
                continue
            if kept.deleted(run.stream_id, later.started) or not kept.lives(run, claimed):
                continue
            left = kept.record(run.stream_id, claimed)
            unkept = isinstance(left, Outcome) and not left.kept_until
            if unkept and excuses.any_trouble(run.started, claimed):
                continue  # cut off from its journal, the producer said that its text is not there
            yield "P12", f"the text of {run.generation} is kept, and {later.host.name} runs anew"


def _claimed(world: World, run: Run) -> float:
    """Return when the run's claim was first written."""
    value = str(run.generation << 20)
    writes = (write.at for write in world.server.writes if write.after == value)
    return min(writes, default=run.started)


def _check_visit(world: World, excuses: Excuses, visit: Visit) -> Iterator[Problem]:
    """Who comes after the end gets all that is kept, and then the recorded ending."""
    kept = excuses.kept
    if visit.ending in {"killed", "cancelled", "left"}:
        return
    if isinstance(visit.error, BackendError | ContextClosedError | InvalidOffsetError):
        return  # the other checks say whether it is true
    if kept.deleted(visit.stream_id, visit.ended):
        return
    outcome = kept.record(visit.stream_id, visit.began)
    sentinel = kept.sentinel(visit.stream_id, visit.began)
    if isinstance(outcome, Outcome) and sentinel == DONE:
        run = _generation(world, visit, outcome.generation)
        if run is None or visit.generation not in {None, run.generation}:
            return  # it has read a run that was superseded
        unaware = _is_beside_unaware(world, visit, outcome, excuses)
        if unaware or _is_being_continued(world, visit, outcome, excuses):
            return
        silent = visit.attached is None and visit.error is None
        if silent and outcome.kept_until and kept.front_expired(run, visit.began, visit.ended):
            yield "P12", f"the front of the text has expired, and nobody says so: {visit}"
        if outcome.kept_until > visit.ended and kept.lives(run, visit.ended):
            yield from _check_end(world, visit, run, outcome)
    elif sentinel is None:
        yield from _check_left(world, excuses, visit)


def _check_end(world: World, visit: Visit, run: Run, outcome: Outcome) -> Iterator[Problem]:
    status = outcome.ending.status
    expected = _ERRORS.get(status)
    if visit.attached is None and visit.error is None:
        yield "P12", f"generation {run.generation} is kept, and nobody says so: {visit}"
    elif run.ending == Ending(Status.SUPERSEDED) and isinstance(visit.error, ProducerLostError):
        return  # the reader beside a producer that was taken for dead
    elif visit.reader == "LocalReader" and visit.error is None and status is Status.LOST:
        return  # the same, and its producer had ended before it learned of that (END-1)
    elif type(visit.error) is not (type(None) if expected is None else expected):
        yield "P12", f"it was recorded as {status}, and is kept: {visit}"
    elif _reached(world, visit, run) < _total(world, run, outcome.end):
        yield "P12", f"{outcome.end} chunks are kept, and not all of them were read: {visit}"


def _is_being_continued(world: World, visit: Visit, outcome: Outcome, excuses: Excuses) -> bool:
    """Tell whether the reader had the run that goes on, or nobody who answered.

    Who continues a stream first writes its text again.
    """
    runs = world.sources[visit.stream_id].runs
    continued = any(
        outcome.generation in one.continues and one.started <= visit.ended for one in runs
    )
    if continued and visit.attached is not None:
        return True  # the other checks compare it with that run
    continued |= world.plan.continues and _is_claimed(excuses, visit)
    return continued and isinstance(visit.error, HandshakeTimeoutError)


def _is_beside_unaware(world: World, visit: Visit, outcome: Outcome, excuses: Excuses) -> bool:
    """Tell whether a producer on the same host, which knew no better, said how it had ended itself.

    It was taken for dead while it was cut off, and another end was recorded. Whoever is beside it
    hears of that when it does: it asks no broker (P6).
    """
    unaware = any(excuses.unaware(visit.host, at) for at in (visit.began, visit.ended))
    if visit.reader not in {"", "LocalReader"} or not unaware:
        return False
    for run in world.sources[visit.stream_id].runs:
        there = run.started <= visit.ended and (run.released or visit.ended) >= visit.began
        if (
            run.host is not visit.host
            or not there
            or visit.generation not in {None, run.generation}
        ):
            continue
        status = run.ending.status if run.ending is not None else None
        if (run.generation, status) == (outcome.generation, outcome.ending.status):
            continue
        if isinstance(visit.error, OffsetOutOfRangeError):
            return excuses.trimmed(run)
        if status is not None and type(visit.error) is _ERRORS.get(status, type(None)):
            return True
    return False


def _check_left(world: World, excuses: Excuses, visit: Visit) -> Iterator[Problem]:
    """What a dead producer has left is read before it is told to be lost."""
    kept = excuses.kept
    runs = [run for run in world.sources[visit.stream_id].runs if run.started < visit.began]
    run = _generation(world, visit, runs[-1].generation) if runs else None
    if run is None or run.durability not in _WRITES_AHEAD or not run.host.dead:
        return
    if visit.generation not in {None, run.generation}:
        return  # it has read an earlier run, whose producer was taken for dead and claims again
    if any(kept.claims_again(one, run.started, visit.ended) for one in runs[:-1]):
        return  # it may have been told the end of that one
    if not kept.lives(run, visit.ended) or len(world.sources[visit.stream_id].runs) > len(runs):
        return
    record = kept.record(visit.stream_id, visit.began)
    if isinstance(record, Outcome) and not record.kept_until:
        return  # its own producer has said, before it died, that its text is not kept
    before = [one for one in kept.of(run) if one.append.at <= visit.began]
    if not before:
        return
    if isinstance(visit.error, HandshakeTimeoutError) and _is_claimed(excuses, visit):
        return  # whoever has the claim may be recording the end, or producing anew
    if visit.attached is None and not isinstance(visit.error, ProducerLostError):
        yield "P12", f"what generation {run.generation} left is not found: {visit}"
        return
    until = max(one.until for one in before)
    if _reached(world, visit, run) < _total(world, run, until):
        yield "P12", f"{until} chunks were left, and not all of them were read: {visit}"


def _is_claimed(excuses: Excuses, visit: Visit) -> bool:
    """Tell whether somebody whose claim led to no run had it during the visit."""
    return any(
        write.at <= visit.ended and write.deadline >= visit.began
        for writes in excuses.abandoned(visit.stream_id).values()
        for write in writes
    )


def _run_of(world: World, visit: Visit) -> Run | None:
    runs = world.sources[visit.stream_id].runs
    return next((run for run in runs if run.generation == visit.generation), None)


def _generation(world: World, visit: Visit, generation: int | None) -> Run | None:
    """Return the run, unless the caller named a place in another one."""
    if visit.event_id is not None and visit.event_id.partition("-")[0] != str(generation):
        return None
    runs = world.sources[visit.stream_id].runs
    return next((run for run in runs if run.generation == generation), None)


def _reached(world: World, visit: Visit, run: Run) -> int:
    """Return how far the reader came, in the unit of its offsets."""
    if visit.offsets:
        return visit.offsets[-1]
    if visit.event_id is not None:
        return _total(world, run, int(visit.event_id.partition("-")[2]))
    return visit.offset


def _total(world: World, run: Run, end: int) -> int:
    return sum(length(chunk, world.plan.unit) for chunk in run.chunks[:end])
