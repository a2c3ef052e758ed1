"""Checks what cancels and TypeScript readers were answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable_stream import CancelResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulation.excuses import Excuses
    from simulation.texts import Problem
    from simulation.world import World

# Within this time a cancel is repeated often enough for the producer to hear it.
_CANCEL = 6.0
_AMPLE = 10**6
# A TypeScript reader waits this long for an answer.
_PATIENCE = 1.0


def check_cancels(world: World, excuses: Excuses) -> Iterator[Problem]:
    """P9: a stream that was cancelled does not run on."""
    for cancel in world.cancels:
        if cancel.ended is None:
            continue  # its host died
        runs = world.sources[cancel.stream_id].runs
        due = min(cancel.ended, cancel.began + _CANCEL)
        alive = [
            run
            for run in runs
            if run.started < cancel.began
            and (run.exhausted is None or run.exhausted > due)
            and (run.closed is None or run.closed > due)
        ]
        if cancel.result is CancelResult.CANCELLED:
            slow = any(world.plan.script(cancel.stream_id, n).slow_to_close for n in range(9))
            if alive and not slow and not excuses.any_trouble(cancel.began, cancel.ended):
                yield "P9", f"told to be cancelled, but its source runs on: {cancel}"
        elif not excuses.unheard_cancel(cancel) and alive:
            yield "P9", f"a running stream was not stopped: {cancel}"


def check_typescript_readers(world: World, excuses: Excuses) -> Iterator[Problem]:
    """P11: a TypeScript reader gets the text and the end."""
    calm = not excuses.any_trouble(0.0, float("inf"))
    # An answer may take seven trips, each up to 1.5 times the latency: the request, two queries
    # for the reader with their replies (one query was under way already), an earlier message, and
    # the answer itself.
    slowest = max(latency for latency, _, _ in world.plan.hosts)
    near = 7 * 1.5 * slowest < _PATIENCE
    if world.plan.options.buffer_limit < _AMPLE:
        return
    for reader in world.typescript_readers:
        runs = world.sources[reader.stream_id].runs
        if not runs or reader.asked is None:
            continue
        text = "".join(reader.texts)
        unwritten = any(map(excuses.kept.unwritten, runs))
        wholes = [run.text(world.plan.unit).after_half(reader.offset) for run in runs]
        if not any(
            text == whole if reader.complete and not unwritten else whole.startswith(text)
            for whole in wholes
        ):
            yield "P11", f"a TypeScript reader got {text!r:.200} of {wholes[0]!r:.200}"
        over = runs[0].closed or float("inf")
        # The reader may have found a claim whose caller left before the source was run.
        claimed = not excuses.abandoned(reader.stream_id)
        if calm and near and claimed and not reader.texts and over > reader.asked + _PATIENCE:
            yield "P11", "a TypeScript reader was not answered"
        if calm and reader.texts and not reader.complete and runs[0].closed:
            yield "P11", "a TypeScript reader was not told the end"
