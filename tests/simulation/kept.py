"""The truth about the journal: what was written to it when, what was lost, and what led to it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from resumable_stream._options import Durability
from resumable_stream._protocol.records import Recorded, decode_record
from resumable_stream._protocol.sentinel import DONE, Outcome, Running, generation_of
from resumable_stream._protocol.wire import DataFrame, EndFrame
from resumable_stream._text.endings import Status
from simulation.journal import Append, Gone
from simulation.troubles import Kind

if TYPE_CHECKING:
    from simulation.actors import Visit
    from simulation.broker import Write
    from simulation.erasing import Deletion
    from simulation.sources import Run
    from simulation.world import World

_JOURNAL = ":rs:journal:"
_OUTCOME = ":rs:outcome:"
_SENTINEL = ":rs:sentinel:"
_RECOVERY = 4.0


class Written(NamedTuple):
    """A record of a run's log, and what is in it."""

    append: Append
    frames: list[Recorded]

    @property
    def end(self) -> EndFrame | None:
        last = self.frames[-1]
        return last if isinstance(last, EndFrame) else None

    @property
    def until(self) -> int:
        """How many whole chunks the stream has after this record, or 0 if it says nothing."""
        return max((end_of(one) for one in self.frames if isinstance(one, DataFrame)), default=0)


def end_of(frame: DataFrame) -> int:
    """Return how many whole chunks the stream has up to the end of a frame."""
    return frame.place.sequence + frame.joined.number - frame.partial


def run_of(log: str) -> tuple[int, str]:
    """Return the generation and the stream id in the name of a log."""
    generation, _, stream_id = log.partition(_JOURNAL)[2].partition(":")
    return int(generation), stream_id


def recorded_in(record: str | None) -> Outcome | Running | None:
    """Return what stands in an outcome's key."""
    return Outcome.decode(record) or Running.decode(record)


def erases(world: World, write: Write) -> bool:
    """Tell whether the write only lets a sentinel run out, as part of an erasure."""
    return write.deadline <= write.at + 1 and any(
        one.host is write.by.host and write.key.endswith(_SENTINEL + one.stream_id)
        for one in world.deletions
    )


class Kept:
    """Looks things up in what the server has noted."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._logs = world.server.logs

    @cached_property
    def written(self) -> dict[str, list[Written]]:
        """All records of each log, also those that were lost, in the order of their writing."""
        logs: dict[str, list[Written]] = {}
        for event in self._logs.events:
            if isinstance(event, Append):
                generation, stream_id = run_of(event.log)
                frames = decode_record(stream_id, generation, event.record)
                logs.setdefault(event.log, []).append(Written(event, frames))
        return logs

    def of(self, run: Run) -> list[Written]:
        """Return all records of a run's log."""
        return self.written.get(self.name(run), [])

    def name(self, run: Run) -> str:
        return f"resumable-stream{_JOURNAL}{run.generation}:{run.stream_id}"

    def gone(self, run: Run, by: float) -> list[Gone]:
        """Return what was no longer there by that time of what had been written."""
        name = self.name(run)
        return [
            one
            for one in self._logs.events
            if isinstance(one, Gone) and one.log == name and one.at <= by
        ]

    def end(self, run: Run) -> EndFrame | None:
        """Return the end in the run's log."""
        return next((one.end for one in self.of(run) if one.end is not None), None)

    def is_cut(self, run: Run, by: float) -> bool:
        """Tell whether the run's log had no end then, or has lost more than its front."""
        ended = any(one.end is not None and one.append.at <= by for one in self.of(run))
        last = max((one.append.index for one in self.of(run)), default=0)
        return not ended or any(gone.until > last for gone in self.gone(run, by))

    def front_expired(self, run: Run, begin: float, end: float) -> bool:
        """Tell whether the front of the run's log was gone from ``begin`` on, and not the rest."""
        written, gone = self.of(run), self.gone(run, end)
        if not gone or any(one.first or one.why != "expired" for one in gone):
            return False
        retention = self._world.plan.options_of(0).retention
        first, last = written[0], max(written, key=lambda one: one.append.index)
        return (
            first.append.at + retention < begin
            and last.append.at + retention > end
            and last.append.index > 0
            and last.append.at < begin
        )

    def keys_lost(self) -> bool:
        """Tell whether the broker ever lost keys."""
        return any(damage.keys != "kept" for damage in self._world.oracle.damages)

    def lives(self, run: Run, until: float) -> bool:
        """Tell whether what was written of a run is there until then."""
        ages = [one.append.at for one in self.of(run) if one.append.at <= until]
        if not ages or self.gone(run, until):
            return False
        oldest = ages[0] if self._logs.habits.front_expires else ages[-1]
        return oldest + self._world.plan.options_of(0).retention > until

    def disturbed(self, begin: float, end: float) -> bool:
        """Tell whether the journal alone was in trouble."""
        plan = self._world.plan.journal
        if plan is None:
            return False
        unsure = plan.habits.lost_reply or plan.habits.lost_write
        if unsure and begin <= self._world.oracle.healed:
            return True
        tolerance = self._world.plan.options.outage_timeout + _RECOVERY
        return any(
            since <= end and until + tolerance >= begin
            for since, until in self._world.oracle.mishaps
        )

    def deleted(self, stream_id: str, by: float) -> bool:
        return any(one.stream_id == stream_id and one.began <= by for one in self._world.deletions)

    def denied(self, visit: Visit) -> bool:
        """Tell whether a log was read to its end, and the rest was said not to be kept."""
        outcome = self.record(visit.stream_id, visit.ended)
        return (
            visit.reader == "Replay"
            and isinstance(outcome, Outcome)
            and outcome.generation == visit.generation
            and not outcome.kept_until
        )

    def unwritten(self, run: Run) -> bool:
        """Tell whether a "sync" run ended before its readers could get all of its text."""
        ending = run.ending
        return (
            run.durability is Durability.SYNC
            and ending is not None
            and ending.status is not Status.COMPLETED
            and run.producer is not None
            and run.producer.log.end < len(run.chunks)
        )

    def erased(self, deletion: Deletion) -> Outcome | Running | None:
        """Return what the outcome's key said when the deletion let it run out, or else before."""
        key = _OUTCOME + deletion.stream_id
        for write in reversed(self._world.server.writes):
            if (
                write.by.host is deletion.host
                and write.key.endswith(key)
                and deletion.began <= write.at <= (deletion.ended or write.at)
                and write.deadline <= write.at + 1
            ):
                return recorded_in(write.after)
        return self.record(deletion.stream_id, deletion.began)

    def is_over_for_good(self, run: Run, by: float) -> bool:
        """Tell whether the run's producer was dead by then, or had itself recorded the end."""
        died = any(
            damage.kind is Kind.KILL and damage.host == run.host.name and damage.begin <= by
            for damage in self._world.oracle.damages
        )
        return died or any(
            write.by.host is run.host
            and write.at <= by
            and write.key.endswith(_OUTCOME + run.stream_id)
            and isinstance(recorded := recorded_in(write.after), Outcome)
            and recorded.generation == run.generation
            for write in self._world.server.writes
        )

    def is_cut_off(self, run: Run, begin: float, end: float) -> bool:
        """Tell whether the run's host missed what was sent to it in that time."""
        return any(
            damage.begin <= end
            and damage.end >= begin
            and (damage.kind is Kind.OUTAGE or damage.host == run.host.name)
            for damage in self._world.oracle.damages
        )

    def claims_again(self, run: Run, begin: float, end: float) -> bool:
        """Tell whether the run's producer created its sentinel again in that time."""
        return any(
            begin < write.at <= end
            and write.before is None
            and write.key.endswith(_SENTINEL + run.stream_id)
            and generation_of(write.after) == run.generation
            for write in self._world.server.writes
        )

    def buried(self, stream_id: str, claim: Write, by: float) -> bool:
        """Tell whether the claimant ended the stream by then as another run had ended."""
        mine = generation_of(claim.after)
        for write in self._world.server.writes:
            if write.by.host is not claim.by.host or not claim.at <= write.at <= by:
                continue
            recorded = None
            if write.key.endswith(_OUTCOME + stream_id):
                recorded = recorded_in(write.after)
            elif write.key.endswith(_SENTINEL + stream_id) and write.after == DONE:
                # That run's producer may have recorded its end itself, just then.
                recorded = self.record(stream_id, write.at)
            if isinstance(recorded, Outcome) and recorded.generation != mine:
                return True
        return False

    def record(self, stream_id: str, at: float) -> Outcome | Running | None:
        """Return what the outcome's key said at a time, if no key was ever lost."""
        write = self._last(_OUTCOME + stream_id, at)
        return recorded_in(write.after) if write is not None else None

    def sentinel(self, stream_id: str, at: float) -> str | None:
        """Return the sentinel at a time, if no key was ever lost."""
        write = self._last(_SENTINEL + stream_id, at)
        return write.after if write is not None else None

    def _last(self, key: str, at: float) -> Write | None:
        last = None
        for write in self._world.server.writes:
            if write.at > at:
                break
            if write.key.endswith(key):
                last = write
        return last if last is not None and last.deadline > at else None
