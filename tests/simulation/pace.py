"""Whether everything came in time, with allowance for what really went wrong."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from resumable_stream._options import Durability
from resumable_stream._protocol.sentinel import generation_of
from resumable_stream._text.log import PACE
from resumable_stream._text.offsets import OffsetUnit
from simulation.texts import runs_of
from simulation.troubles import Climate, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulation.actors import Visit
    from simulation.excuses import Excuses
    from simulation.sources import Run
    from simulation.texts import Problem
    from simulation.world import World

_EPSILON = 1e-3
# How long the reader beside the producer waits for the end to be recorded.
_END_GRACE = 0.1
# How long anything may take, and what each lost message adds, besides a heartbeat.
_SOON = 0.8
_REPAIR = 1.2
# With a smaller window, catching up takes many requests.
_AMPLE = 10**6
_RECONNECT = 0.5
_CALL = 3.0
# How much longer it takes if it has to be in the journal before.
_WRITTEN = 0.2
# How many times a message may be on its way for each record.
_ROUND_TRIPS = 4
_STANDSTILLS = {Kind.PAUSE, Kind.KILL, Kind.CLOSE}


def check_pace(world: World, excuses: Excuses) -> Iterator[Problem]:
    """Check what P3, P4, P5, P6 and P10 say about time."""
    still = {damage.host for damage in world.oracle.damages if damage.kind in _STANDSTILLS}
    for visit in world.visits:
        runs = runs_of(world, visit) if visit.attached is not None and visit.prompt else []
        if len(runs) != 1:
            continue
        if visit.reader == "LocalReader" and visit.host.name not in still:
            yield from _check_local(world, visit, runs[0], excuses)
        if visit.reader == "Listener":
            yield from _check_remote(world, visit, runs[0], excuses)
            yield from _check_heartbeats(world, visit, runs[0])
    for visit in world.visits:
        if visit.reader == "Listener":
            yield from _check_outages(world, visit, excuses)
    for sources in world.sources.values():
        for run in sources.runs:
            yield from _check_release(world, run, excuses)
            yield from _check_fence(world, run)


def _check_local(world: World, visit: Visit, run: Run, excuses: Excuses) -> Iterator[Problem]:
    """P6: the reader beside the producer does not wait for the broker."""
    attached = visit.attached or 0.0
    if run.host is not visit.host:
        return  # it has moved over to that one
    if run.durability is Durability.SYNC:
        return  # the one beside the producer waits for the journal, too
    if run.durability is not None and excuses.trimmed(run):
        return  # so does one that has fallen behind the buffer
    if not world.plan.shuffle:
        for made, read in _pairs(visit, run.times):
            if read > max(made, attached) + PACE + _EPSILON:
                yield "P6", f"a chunk came {read - made:.3f} s late: {visit}"
                return
    if visit.ending == "complete" and run.closed is not None:
        late = visit.ended - max(run.closed, attached)
        if late > _END_GRACE + _EPSILON:
            yield "P6", f"the end came {late:.3f} s late: {visit}"


def _check_remote(world: World, visit: Visit, run: Run, excuses: Excuses) -> Iterator[Problem]:
    """P3: each lost message costs the time of its repair, and no more."""
    kinds = {damage.kind for damage in world.oracle.damages}
    undisturbed = world.plan.climate in {Climate.CALM, Climate.MESSAGES}
    if not (undisturbed or kinds == {Kind.UNPLUG}) or world.plan.weather.reset:
        return
    if world.plan.options.window < _AMPLE:
        return
    if run.durability is not None and (kinds or excuses.kept.disturbed(0.0, visit.ended)):
        return
    times, closed = _written(run, excuses)
    events = [("a chunk", made, read) for made, read in _pairs(visit, times)]
    if visit.ending == "complete" and closed is not None:
        events.append(("the end", closed, visit.ended))
    unsure = world.plan.options.lease - world.plan.options.renew_interval
    for what, made, read in events:
        ready = _connected(world, max(made, visit.attached or 0.0))
        if kinds:
            allowed = _soon(world)
            if any(damage.end - damage.begin > unsure for damage in world.oracle.damages):
                # The producer answers nobody until it has renewed its claim: one more request.
                allowed += _REPAIR
        else:
            # Count only losses before the chunk could be expected.
            repair = world.plan.options.heartbeat_interval + _REPAIR
            losses = world.timeline.losses_between(made, ready + _soon(world) + repair)
            allowed = _soon(world) + losses * repair
        if run.durability is not None:
            allowed += _journal_time(world, run, excuses, made, read)
        if read > ready + allowed:
            yield "P3", f"{what} came {read - ready:.3f} s late: {visit}"
            return


def _check_heartbeats(world: World, visit: Visit, run: Run) -> Iterator[Problem]:
    """P4: a listener of a silent producer hears its heartbeats."""
    if world.plan.climate is not Climate.CALM or not world.plan.weather.fair:
        return
    length = run.text(OffsetUnit.UTF16).length
    if run.durability is not None and length > world.plan.options.buffer_limit:
        return  # whoever falls behind leaves the producer, and reads on in the journal
    begin, end = visit.attached or 0.0, min(visit.ended, run.closed or visit.ended)
    times = [time for time in world.oracle.heard.get(run.generation, ()) if begin < time < end]
    longest = world.plan.options.heartbeat_interval + _soon(world)
    for before, after in pairwise((begin, *times, end)):
        if after > before + longest:
            yield "P4", f"nothing was heard for {after - before:.3f} s: {visit}"
            return


def _check_outages(world: World, visit: Visit, excuses: Excuses) -> Iterator[Problem]:
    """P4: no listener waits through an outage for longer than ``outage_timeout``."""
    # A listener that reads live has no request to send: it notices at its next heartbeat.
    notices = world.plan.options.heartbeat_interval
    patience = world.plan.options.outage_timeout + notices + _CALL + 2 * _SOON
    for damage in world.oracle.damages:
        if damage.kind is not Kind.OUTAGE or damage.end < damage.begin + patience:
            continue
        attached = visit.attached or damage.begin
        # Time in which the listener's host was paused does not count either.
        late = visit.ended - damage.begin - patience - excuses.stood_still(visit)
        if attached < damage.begin and late > 0 and visit.prompt:
            yield "P4", f"bore an outage {late:.3f} s too long: {visit}"


def _check_release(world: World, run: Run, excuses: Excuses) -> Iterator[Problem]:
    """P10: an ended producer waits only for living readers, and for one lease after them."""
    if run.released is None or run.closed is None or run.host.dead:
        return
    if excuses.disturbed(run):
        return
    if run.durability is not None and excuses.kept.disturbed(0.0, run.released):
        return
    options = world.plan.options
    last = max((visit.ended for visit in world.visits if visit.began < run.released), default=0.0)
    due = max(run.closed, last) + options.lease + 3 * options.heartbeat_interval + 2 * _soon(world)
    if run.durability is not None:
        due += _journal_time(world, run, excuses, run.closed, run.released)
    if run.released > due:
        yield "P10", f"generation {run.generation} was kept {run.released - due:.3f} s too long"


def _check_fence(world: World, run: Run) -> Iterator[Problem]:
    """P5: a producer that has lost its claim learns that at its next renewal, and stops."""
    writes = [w for w in world.server.writes if w.key.endswith(f"sentinel:{run.stream_id}")]
    claimed = run.started
    for write in writes:
        if write.before is None and generation_of(write.after) == run.generation:
            # Count a later claim, too: after the sentinel was lost, it wins over the other one's.
            claimed = max(claimed, write.at)
    successors = [
        write.at
        for write in writes
        if write.at > claimed and generation_of(write.after) not in {0, run.generation}
    ]
    if not successors or not run.times or run.producer is None:
        return
    known = successors[0]
    for damage in world.oracle.damages:
        if damage.begin <= known + world.plan.options.lease:
            known = max(known, damage.end)
    due = known + world.plan.options.renew_interval + _CALL + 2 * _soon(world)
    if run.times[-1] > due and not world.plan.weather.reset:
        yield "P5", f"generation {run.generation} goes on, {run.times[-1] - due:.3f} s too long"


def _written(run: Run, excuses: Excuses) -> tuple[list[float], float | None]:
    """Return when each chunk and the end could be read: with "sync", once they were written."""
    if run.durability is not Durability.SYNC:
        return run.times, run.closed
    records = excuses.kept.of(run)
    times = [
        min((one.append.at for one in records if one.until > number), default=made)
        for number, made in enumerate(run.times)
    ]
    return times, next((one.append.at for one in records if one.end), run.closed)


def _journal_time(world: World, run: Run, excuses: Excuses, made: float, read: float) -> float:
    """Return how much longer it may take because the text is written, record after record."""
    records = sum(made < one.append.at < read for one in excuses.kept.of(run))
    time = _WRITTEN + (20 + _ROUND_TRIPS * records) * _latency(world)
    if excuses.trimmed(run):
        # Whoever is left behind learns that from a heartbeat, and goes on in the journal.
        time += world.plan.options.heartbeat_interval + _REPAIR
    return time


def _pairs(visit: Visit, times: list[float]) -> list[tuple[float, float]]:
    """Return when each chunk was produced and read; nothing if the first chunk is unknown."""
    if visit.first_event_id is None:
        return []
    first = int(visit.first_event_id.partition("-")[2])
    return list(zip(times[first:], visit.times, strict=False))


def _connected(world: World, time: float) -> float:
    """Return the time; if a host is unplugged around it, return when the host is back."""
    way = PACE + 4 * _latency(world)
    for damage in world.oracle.damages:
        if damage.begin - way <= time <= damage.end + _RECONNECT:
            time = damage.end + _RECONNECT
    return time


def _soon(world: World) -> float:
    return _SOON + 20 * _latency(world)


def _latency(world: World) -> float:
    return max(latency for latency, _offset, _rate in world.plan.hosts)
