"""The truth about the journal: what was written to it when, what was lost, and what led to it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from resumable_stream._options import Durability
from resumable_stream._protocol.records import Recorded, decode_record
from resumable_stream._protocol.sentinel import Outcome, Running
from resumable_stream._protocol.wire import DataFrame, EndFrame
from resumable_stream._text.endings import Status

if TYPE_CHECKING:
    from simulation.broker import Write
    from simulation.journal import Append, Gone
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
        data = [frame for frame in self.frames if isinstance(frame, DataFrame)]
        return max((one.place.sequence + one.joined.number - one.partial for one in data), default=0)


def recorded_in(record: str | None) -> Outcome | Running | None:
    """Return what stands in an outcome's key."""
    return Outcome.decode(record) or Running.decode(record)


class Kept:
    """Looks things up in what the server has noted."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._logs = world.server.logs

    @cached_property
    def written(self) -> dict[str, list[Written]]:
        """All records of each log, also those that were lost, in the order of their writing."""
        logs: dict[str, list[Written]] = {}
        for append in self._logs.appends:
            generation, _, stream_id = append.log.partition(_JOURNAL)[2].partition(":")
            frames = decode_record(stream_id, int(generation), append.record)
            logs.setdefault(append.log, []).append(Written(append, frames))
        return logs

    def of(self, run: Run) -> list[Written]:
        """Return all records of a run's log."""
        return self.written.get(self.name(run), [])

    def name(self, run: Run) -> str:
        return f"resumable-stream{_JOURNAL}{run.generation}:{run.stream_id}"

    def there(self, run: Run, at: float) -> list[Written]:
        """Return the records that could be read at that time, from the first one on."""
        retention = self._world.plan.options_of(0).retention
        present: dict[int, Written] = {}
        gone = self.gone(run, at)
        for one in self.of(run):
            if one.append.at > at:
                break
            lost = any(
                gap.at >= one.append.at and gap.first <= one.append.index < gap.until
                for gap in gone
            )
            if not lost and one.append.at + retention > at:
                present[one.append.index] = one
        return [present[index] for index in range(len(present)) if index in present]

    def gone(self, run: Run, by: float) -> list[Gone]:
        """Return what was no longer there by that time of what had been written."""
        name = self.name(run)
        return [gone for gone in self._logs.gone if gone.log == name and gone.at <= by]

    def lost_text(self) -> bool:
        """Tell whether records were ever lost, other than by erasure or expiry."""
        return any(gone.why == "lost" for gone in self._logs.gone)

    def disturbed(self, begin: float, end: float) -> bool:
        """Tell whether the journal alone was in trouble."""
        plan = self._world.plan.journal
        if plan is None:
            return False
        if (plan.habits.lost_reply or plan.habits.lost_write) and begin <= self._world.oracle.healed:
            return True
        tolerance = self._world.plan.options.outage_timeout + _RECOVERY
        return any(
            since <= end and until + tolerance >= begin
            for since, until in self._world.oracle.mishaps
        )

    def deleted(self, stream_id: str, by: float) -> bool:
        return any(
            one.stream_id == stream_id and one.began <= by for one in self._world.deletions
        )

    def unwritten(self, run: Run) -> bool:
        """Tell whether a "sync" run failed because the journal did not take its text."""
        ending = run.ending
        return (
            run.durability is Durability.SYNC
            and ending is not None
            and ending.status is Status.FAILED
            and ending.error_type != "SourceError"
        )

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
