"""Whether every record of every log is true, and was written by who may write it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable_stream._protocol.places import Place
from resumable_stream._protocol.sentinel import Outcome, generation_of
from resumable_stream._protocol.wire import DataFrame, EndFrame
from resumable_stream._text.endings import Status
from simulation.journal import Append, Gone
from simulation.kept import Written, recorded_in, run_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulation.kept import Kept
    from simulation.sources import Run
    from simulation.texts import Problem
    from simulation.world import World


class Book:
    """One log as it is read event by event."""

    def __init__(self, world: World, log: str) -> None:
        generation, stream_id = run_of(log)
        runs = world.sources[stream_id].runs
        self.run: Run | None = next((run for run in runs if run.generation == generation), None)
        self.generation = generation
        self._world = world
        self._sentinel = f":rs:sentinel:{stream_id}"
        self._present: dict[int, tuple[Place, bool]] = {}
        """Where each record ends, and whether that is the end of the log."""
        self._has_lost = False
        self._written: set[int] = set()
        """The records that the producer ever wrote."""
        self._end: Append | None = None

    def forget(self, gone: Gone) -> None:
        self._has_lost = True
        for index in range(gone.first, gone.until):
            self._present.pop(index, None)

    def take(self, written: Written) -> Iterator[Problem]:
        append, run = written.append, self.run
        if append.index and any(ended for _, ended in self._present.values()):
            if not self._was_overtaken(append):
                yield "P12", f"record {append.index} of {append.log} follows its end"
            return
        if run is not None and append.by is run.host:
            self._written.add(append.index)
        yield from self._read(written)

    def _read(self, written: Written) -> Iterator[Problem]:
        append, run = written.append, self.run
        place, known = Place(0), True
        if append.index:
            before = self._present.get(append.index - 1)
            known = before is not None
            place = before[0] if before else Place(0)
        ended = False
        for frame in written.frames:
            if ended:
                yield "P12", f"a frame of {append.log} follows the end"
            if isinstance(frame, DataFrame):
                if known and frame.place > place:
                    yield "P12", f"{append.log} has a hole from {place} to {frame.place}"
                if run is not None and not _is_of(frame, run):
                    yield "P12", f"{append.log} has text at {frame.place} that is not the source's"
                place, known = _after(frame), True
            elif known:
                ended = True
                yield from self._check_end(append, frame, place)
        self._end = append if ended else self._end
        self._present[append.index] = (place, ended)

    def _was_overtaken(self, append: Append) -> bool:
        """Tell whether the producer could not know that the log had an end when it sent this.

        Either the log had lost records, or had expired or been deleted, and was written again while
        this one was under way; or a seal has taken the place of a record that the producer had
        written, and that was gone. Neither the producer nor a store that keeps the contract can
        prevent that, and nobody reads behind the end.
        """
        run, end = self.run, self._end
        if run is None or end is None or append.by is not run.host or not self._has_lost:
            return False
        return append.asked < end.at or (end.by is not run.host and end.index in self._written)

    def _check_end(self, append: Append, end: EndFrame, place: Place) -> Iterator[Problem]:
        run, status = self.run, end.ending.status
        if end.end != place.sequence or (place.byte and status is Status.COMPLETED):
            yield "P12", f"{append.log} is said to end at {end.end}, and has text to {place}"
        if run is None:
            return
        if append.by is not run.host:
            if status is not Status.LOST or not self._claims(append):
                yield "P12", f"{append.by.name} seals {append.log} without the claim"
        elif status is Status.COMPLETED and (
            run.fails or run.exhausted is None or end.end != len(run.chunks)
        ):
            yield "P12", f"{append.log} is said to be complete, and is not"

    def _claims(self, append: Append) -> bool:
        """Tell whether the writer had won the sentinel by then."""
        return any(
            write.by.host is append.by
            and write.at <= append.at
            and write.key.endswith(self._sentinel)
            and generation_of(write.after) not in {0, self.generation}
            for write in self._world.server.writes
        )


def check_records(world: World, kept: Kept) -> Iterator[Problem]:
    """P12: the text is the source's, without holes, and nobody writes who may not."""
    idle = {
        machine.host for machine in world.machines if machine.context._options.durability is None
    }
    books: dict[str, Book] = {}
    following = {log: iter(records) for log, records in kept.written.items()}
    for event in world.server.logs.events:
        book = books.setdefault(event.log, Book(world, event.log))
        if isinstance(event, Gone):
            book.forget(event)
        else:
            yield from book.take(next(following[event.log]))
            if event.by in idle:
                yield "P8", f"{event.by.name} keeps no text, and writes {event.log}"


def check_outcomes(world: World, kept: Kept) -> Iterator[Problem]:
    """An outcome says that the text is kept only if the log has all of it, and its end."""
    runs = {run.generation: run for one in world.sources.values() for run in one.runs}
    for write in world.server.writes:
        outcome = recorded_in(write.after) if ":rs:outcome:" in write.key else None
        if not isinstance(outcome, Outcome) or not outcome.kept_until:
            continue
        run = runs.get(outcome.generation or 0)
        if run is None or kept.gone(run, write.at):
            continue
        end = next((one.end for one in kept.of(run) if one.end and one.append.at <= write.at), None)
        if end is None or (end.end, end.ending.status) != (outcome.end, outcome.ending.status):
            yield "P12", f"the text is said to be kept with its end, {outcome}, and that is {end}"


def _is_of(frame: DataFrame, run: Run) -> bool:
    parts, at = frame.joined.parts(), frame.place.sequence
    for number, part in enumerate(parts):
        if at + number >= len(run.chunks):
            return False
        chunk = run.chunks[at + number].encode("utf-8", "surrogatepass")
        rest = chunk[frame.place.byte :] if number == 0 else chunk
        cut = frame.partial and number == len(parts) - 1
        if not (rest.startswith(part) if cut else rest == part):
            return False
    return True


def _after(frame: DataFrame) -> Place:
    if not frame.partial:
        return frame.after
    number = frame.joined.number
    byte = frame.place.byte if number == 1 else 0
    return Place(frame.place.sequence + number - 1, byte + len(frame.joined.parts()[-1]))
