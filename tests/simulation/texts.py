"""Compares what a reader got with what was produced."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from resumable_stream import (
    BackendError,
    ContextClosedError,
    HandshakeTimeoutError,
    InvalidOffsetError,
    OffsetOutOfRangeError,
    ProducerLostError,
    StreamCancelledError,
    StreamExistsError,
    StreamFailedError,
    StreamHistoryChangedError,
    StreamSupersededError,
)
from resumable_stream._text.offsets import length
from simulation.sources import Units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from resumable_stream._text.offsets import OffsetUnit
    from simulation.actors import Visit
    from simulation.excuses import Excuses
    from simulation.sources import Run
    from simulation.world import World

Problem = tuple[str, str]


def check_visit(world: World, visit: Visit, excuses: Excuses) -> Iterator[Problem]:
    """Check one reader's text, ending and places."""
    if visit.attached is None:
        yield from _check_answer(world, visit, excuses)
        return
    runs = runs_of(world, visit)
    if not runs and not visit.chunks and excuses.cancelled_unstarted(visit.stream_id):
        return
    if not runs:
        yield "P1", f"no run has this text: {visit.chunks!r:.300}"
        return
    problems = [list(_check_ending(world, visit, run, excuses)) for run in runs]
    if all(problems):
        yield from problems[0]
    if visit.reader != "V1Listener":
        yield from _check_places(world, visit, runs)


def runs_of(world: World, visit: Visit) -> list[Run]:
    """Return the runs that the reader may have read: it has their text, chunk by chunk."""
    runs = world.sources[visit.stream_id].runs
    if visit.generation is not None:
        # Whoever loses its producer reads on in the run that continues its own, or, having read
        # nothing, in one that it begins.
        own = {visit.generation}
        known = [
            run
            for run in runs
            if run.generation in own or own & run.continues.keys() or begins_anew(world, visit, run)
        ]
        # One that was cancelled before its source began has the text that it continues.
        runs = known or (runs if world.plan.continues else [])
    return [run for run in runs if _has_text(visit, run, world.plan.unit)]


def begins_anew(world: World, visit: Visit, run: Run) -> bool:
    """Tell whether a caller of ``resumable_stream`` may have begun the run while it read."""
    begins = world.plan.continues and visit.how == "start" and visit.event_id is None
    return begins and run.host is visit.host and run.started >= (visit.attached or 0.0)


def _has_text(visit: Visit, run: Run, unit: OffsetUnit) -> bool:
    expected = expected_chunks(visit, run, unit)
    if expected is None:
        return not visit.chunks
    got = list(visit.chunks)
    if visit.event_id is None:
        expected, got = _stripped(expected), _stripped(got)
    if visit.reader == "V1Listener":
        whole, text = Units("".join(expected), unit), Units("".join(got), unit)
        return whole.text.startswith(text.text)
    return expected[: len(got)] == got


def _stripped(chunks: list[str]) -> list[str]:
    """Drop the empty chunks at the beginning, which no offset can name."""
    begin = next((at for at, chunk in enumerate(chunks) if chunk), len(chunks))
    return chunks[begin:]


def expected_chunks(visit: Visit, run: Run, unit: OffsetUnit) -> list[str] | None:
    """Return all that the reader should get of the run; None if the offset cuts a pair."""
    if visit.event_id is not None:
        return run.chunks[int(visit.event_id.partition("-")[2]) :]
    skip, chunks = visit.offset, []
    for chunk in run.chunks:
        size = length(chunk, unit) if skip else 0
        if skip and skip >= size:
            skip -= size
        elif skip and Units(chunk, unit).splits_pair(skip):
            return None
        else:
            chunks.append(Units(chunk, unit).after(skip) if skip else chunk)
            skip = 0
    return chunks


def has_all(visit: Visit, run: Run, unit: OffsetUnit) -> bool:
    expected = expected_chunks(visit, run, unit)
    if expected is None:
        return False
    got = visit.chunks
    if visit.reader == "V1Listener":
        return "".join(got) == "".join(expected)
    if visit.event_id is None:
        return len(_stripped(got)) == len(_stripped(expected))
    return len(got) == len(expected)


def _check_ending(world: World, visit: Visit, run: Run, excuses: Excuses) -> Iterator[Problem]:
    whole = has_all(visit, run, world.plan.unit)
    status = excuses.status_of(run)
    if visit.error is not None:
        yield from _check_error(world, visit, [run], excuses)
        unwritten = excuses.kept.unwritten(run)
        if isinstance(visit.error, StreamFailedError) and not whole and not unwritten:
            yield "P3", "told of the end before all of the text"
    elif visit.ending == "complete":
        if not whole:
            yield "P1", "the text looks complete, and is not"
        elif status != "completed":
            yield "P3", f"the end looks complete, but was {status}"


def _check_answer(world: World, visit: Visit, excuses: Excuses) -> Iterator[Problem]:
    """Check a call that returned no stream."""
    runs = world.sources[visit.stream_id].runs
    before = [run for run in runs if run.started <= visit.ended]
    statuses = {excuses.status_of(run) for run in before}
    if visit.error is not None:
        yield from _check_error(world, visit, before, excuses)
    elif visit.ending == "none" and "completed" not in statuses:
        yield "P3", f"called complete, but it was {statuses}"
    elif visit.ending == "none" and any(excuses.served(visit, run) for run in before):
        yield "P1", "told that it is over, though it is still served"
    elif visit.ending == "not found" and not excuses.absent(visit, before):
        yield "P3", "called unknown, though it runs"


def _check_error(
    world: World, visit: Visit, runs: list[Run], excuses: Excuses
) -> Iterator[Problem]:
    def any_is(status: str) -> bool:
        return any(excuses.status_of(run) == status for run in runs)

    # The order matters: some are subclasses of later ones.
    known: dict[type[Exception], tuple[str, Callable[[], bool]]] = {
        StreamFailedError: ("P3", lambda: any_is("failed")),
        StreamCancelledError: (
            "P9",
            lambda: any_is("cancelled") or excuses.cancelled_unstarted(visit.stream_id),
        ),
        StreamSupersededError: ("P5", lambda: any(map(excuses.superseded, runs))),
        HandshakeTimeoutError: ("P4", lambda: excuses.unanswered(visit)),
        ProducerLostError: ("P3", lambda: any(excuses.lost(visit, run) for run in runs)),
        OffsetOutOfRangeError: (
            "P7",
            lambda: (
                any(map(excuses.trimmed, runs))
                # A deletion makes its producer drop the text, under whoever still reads it.
                or excuses.kept.deleted(visit.stream_id, visit.ended)
                or excuses.kept.denied(visit)
            ),
        ),
        InvalidOffsetError: (
            "P1",
            lambda: any(expected_chunks(visit, run, world.plan.unit) is None for run in runs),
        ),
        StreamExistsError: ("P5", lambda: excuses.claimed(visit)),
        StreamHistoryChangedError: (
            "P5",
            lambda: (
                (excuses.claimed_again(visit) or excuses.absent(visit, runs))
                and not _is_continued(visit, runs)
            ),
        ),
        ContextClosedError: ("P4", lambda: excuses.closed(visit.host)),
        BackendError: ("P4", lambda: excuses.broker_away(visit)),
    }
    for kind, (promise, is_true) in known.items():
        if isinstance(visit.error, kind):
            if not is_true():
                yield promise, f"{kind.__name__} is not true"
            return
    yield "P3", "an error that nobody expects"


def _is_continued(visit: Visit, runs: list[Run]) -> bool:
    """Tell whether the caller's event id is one of the newest run's, which continues its own."""
    if visit.event_id is None or not runs or runs[-1].started >= visit.began:
        return False
    generation, _, sequence = visit.event_id.partition("-")
    end = runs[-1].continues.get(int(generation))
    return end is not None and int(sequence) <= end


def _check_places(world: World, visit: Visit, runs: list[Run]) -> Iterator[Problem]:
    """Check that the offsets and event ids that the stream reported are right."""
    unit = world.plan.unit
    run = runs[0]
    if visit.event_id is not None:
        first = int(visit.event_id.partition("-")[2])
        offset = sum(length(chunk, unit) for chunk in run.chunks[:first])
    else:
        offset = visit.offset
    for chunk, reported in zip(visit.chunks, visit.offsets, strict=True):
        offset += length(chunk, unit)
        if reported != offset:
            yield "P1", f"the offset is {offset}, and was said to be {reported}"
            return
    sequences = [
        int(event_id.partition("-")[2]) for event_id in visit.event_ids if event_id is not None
    ]
    ends = list(accumulate((length(chunk, unit) for chunk in run.chunks), initial=0))
    for at, sequence in enumerate(sequences):
        known = ends[min(sequence, len(run.chunks))]
        if visit.event_ids[at] is not None and known != visit.offsets[at] and len(runs) == 1:
            yield "P1", f"event id {visit.event_ids[at]} is not at offset {visit.offsets[at]}"
            return
