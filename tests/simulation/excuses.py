"""Which unusual endings are right because of what really happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable_stream import BackendError, CancelResult, ContextClosedError
from resumable_stream._protocol.sentinel import DONE, Outcome, Running, generation_of
from resumable_stream._text.endings import Status
from resumable_stream._text.offsets import OffsetUnit
from simulation.kept import Kept
from simulation.plan import TypeScript
from simulation.troubles import Climate, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulation.actors import Cancel, Visit
    from simulation.broker import Write
    from simulation.clock import Host
    from simulation.sources import Run
    from simulation.weather import Damage
    from simulation.world import World

_OF_BROKER = {Kind.UNPLUG, Kind.BLACK_HOLE, Kind.DEAFEN, Kind.OUTAGE}
_FINAL = {Kind.KILL, Kind.CLOSE}
# An outage seems longer than it is, because reconnecting takes time.
_RECOVERY = 4.0
_AMPLE = 10**6
# A host that was cut off is connected again, and has heard of a successor, this much later.
_HEARS = 0.6
# Missing this many messages counts as a lost connection: for a listener that waits for an end
# (_MANY), for a handshake (_HANDSHAKE), and, counting requests only, for a cancel (_CANCEL). A
# handshake may also fail after _CLAIMS abandoned claims.
_MANY = 3
_HANDSHAKE = 5
_CANCEL = 8
_CLAIMS = 3
# For how long a claim that was let go of may still be seen, with a margin for slow links.
_RELEASE = 1.5


class Excuses:
    def __init__(self, world: World) -> None:
        self._world = world
        self._plan = world.plan
        self._options = world.plan.options
        self._damages = world.oracle.damages
        self.kept = Kept(world)

    def status_of(self, run: Run) -> str:
        """Return how the run really ended; "running" if it has not ended."""
        if run.ending is not None:
            return str(run.ending.status)
        if run.generation == 0 and run.exhausted is not None:
            return "lost" if run.fails else "completed"
        if not run.host.dead:
            return "running"
        end = self.kept.end(run)  # which may stand there before the producer says it
        return str(end.ending.status) if end is not None else "lost"

    def served(self, visit: Visit, run: Run) -> bool:
        """The run was over, but the place that the caller named still had to be served."""
        if self._plan.climate is not Climate.CALM or run.closed is None or run.producer is None:
            return False
        if self._options.buffer_limit < _AMPLE or self.kept.deleted(run.stream_id, visit.ended):
            return False
        if visit.event_id is not None and visit.event_id.partition("-")[0] != str(run.generation):
            return False
        return run.closed < visit.began < run.closed + self._options.grace_period - _RECOVERY

    def superseded(self, run: Run) -> bool:
        """Another generation was claimed, or old keys came back."""
        key = f"sentinel:{run.stream_id}"
        others = {
            generation_of(write.after)
            for write in self._world.server.writes
            if write.key.endswith(key) and write.after != DONE
        } - {run.generation}
        return bool(others) or any(damage.keys == "old" for damage in self._outages())

    def lost(self, visit: Visit, run: Run) -> bool:
        """The producer was gone, or nobody could know whether it was."""
        if self.superseded(run) or self.status_of(run) == "lost":
            return True
        if visit.reader == "Replay" and self.kept.is_cut(run, visit.ended):
            return True
        if run.durability is not None and self.trimmed(run) and self.kept.is_cut(run, visit.ended):
            return True  # left behind by its producer, and the rest is not kept
        if any(self._over(run.host, visit.ended)):
            return True
        if run.generation == 0 and run.exhausted is not None:
            return True  # a TypeScript peer keeps no text after the end
        lease, outage = self._options.lease, self._options.outage_timeout
        begin = visit.ended - 3 * lease - outage
        for host in (run.host, visit.host):
            apart = self._trouble(host, begin, visit.ended)
            if apart + _RECOVERY >= lease / 2:
                return True
        if self._time(self._outages(), begin, visit.ended) + _RECOVERY >= min(outage, lease):
            return True
        return self._missed(visit.ended - 2 * lease, visit.ended)

    def unaware(self, host: Host, at: float) -> bool:
        """The host was cut off, or is back, and had no time to hear what it has missed."""
        slowest = max(latency for latency, _offset, _rate in self._plan.hosts)
        # Connections that break by themselves delay it.
        soon = _HEARS + 10 * slowest + (_RECOVERY if self._plan.weather.reset else 0.0)
        return any(
            damage.begin <= at <= damage.end + soon
            for damage in self._damages
            if damage.kind is Kind.OUTAGE or damage.host == host.name
        )

    def trimmed(self, run: Run) -> bool:
        if run.text(OffsetUnit.UTF16).length > self._options.buffer_limit:
            return True
        return bool(self.kept.gone(run, float("inf")))

    def unanswered(self, visit: Visit) -> bool:
        begin = visit.began
        runs = self._world.sources[visit.stream_id].runs
        if any(run.generation == 0 and run.fails for run in runs):
            return True  # a TypeScript peer that fails leaves its sentinel behind
        if self._plan.weather.reset or self._missed(begin, visit.ended, _HANDSHAKE):
            return True
        abandoned = len(self.abandoned(visit.stream_id))
        if abandoned >= _CLAIMS:
            return True  # one caller after another claims and leaves
        if abandoned and self._options.handshake_timeout <= _RELEASE:
            return True  # and each claim is there for as long
        return self._plan.climate is not Climate.CALM and (
            bool(self._around(begin - 2 * self._options.lease, visit.ended))
            or bool(self.abandoned(visit.stream_id))
        )

    def stood_still(self, visit: Visit) -> float:
        """Return for how long the reader's host was paused during the visit."""
        pauses = [one for one in self._damages if one.kind is Kind.PAUSE]
        mine = [one for one in pauses if one.host == visit.host.name]
        return self._time(mine, visit.began, visit.ended)

    def broker_away(self, visit: Visit) -> bool:
        if any(self._over(visit.host, visit.ended)):
            return True
        if self.kept.disturbed(visit.began, visit.ended):
            return True
        if self._plan.climate in {Climate.CALM, Climate.MESSAGES, Climate.HOSTS}:
            return visit.attached is None and self._trouble(visit.host, 0, visit.ended) > 0
        if visit.attached is None:
            return True
        begin = visit.ended - 2 * self._options.outage_timeout
        apart = self._trouble(visit.host, begin, visit.ended)
        apart += self._time(self._outages(), begin, visit.ended)
        return apart + _RECOVERY >= self._options.outage_timeout

    def closed(self, host: Host) -> bool:
        return any(
            damage.kind is Kind.CLOSE and damage.host == host.name for damage in self._damages
        )

    def absent(self, visit: Visit, before: list[Run]) -> bool:
        """There was no run, or its keys may be gone."""
        if not any(run.started < visit.began for run in before):
            return True
        if self._plan.weather.reset:
            return True
        if self.kept.deleted(visit.stream_id, visit.ended):
            return True
        return any(damage.begin <= visit.ended for damage in self._damages)

    def claimed(self, visit: Visit) -> bool:
        return bool(self.abandoned(visit.stream_id) or self._world.sources[visit.stream_id].runs)

    def claimed_again(self, visit: Visit) -> bool:
        runs = self._world.sources[visit.stream_id].runs
        return bool(self.abandoned(visit.stream_id)) or len(runs) > 1

    def abandoned(self, stream_id: str) -> dict[int, list[Write]]:
        """Return the claims for which no source was run, with the writes of each."""
        runs = {run.generation for run in self._world.sources[stream_id].runs}
        claims: dict[int, list[Write]] = {}
        for write in self._world.server.writes:
            if write.key.endswith(f"sentinel:{stream_id}") and write.after != DONE:
                generation = generation_of(write.after)
                if generation not in runs:
                    claims.setdefault(generation, []).append(write)
        return claims

    def buries(self, stream_id: str, claim: Write) -> bool:
        """Whoever claimed the stream then had a dead producer's end to record."""
        left = self.kept.record(stream_id, claim.at)
        if isinstance(left, Running) or (left is not None and left.kept_until > claim.at):
            return True
        # The pointer may have come after the claim, or with the old keys of the broker.
        return self.kept.buried(stream_id, claim, claim.at + self._options.lease)

    def gave_up(self, visit: Visit) -> bool:
        """The caller left, or was cut off for long, without knowing that it had won."""
        if visit.ending in {"cancelled", "killed"}:
            return True
        if self._trouble(visit.host, visit.began, visit.ended) >= self._options.lease / 2:
            return True
        return isinstance(visit.error, BackendError | ContextClosedError)

    def cancelled_unstarted(self, stream_id: str) -> bool:
        """A cancel came so early that the source was never started."""
        runs = {run.generation for run in self._world.sources[stream_id].runs}
        outcomes = [
            Outcome.decode(write.after)
            for write in self._world.server.writes
            if write.key.endswith(f":rs:outcome:{stream_id}")
        ]
        return any(
            outcome is not None
            and outcome.generation not in runs
            and outcome.ending.status is Status.CANCELLED
            for outcome in outcomes
        )

    def unrecorded(self, run: Run) -> bool:
        """The producer could not record the end, or was not allowed to."""
        if self.superseded(run) or any(self._over(run.host, float("inf"))):
            return True
        begin, end = run.closed or run.started, self._world.loop.now
        apart = self._trouble(run.host, begin, end) + self._time(self._outages(), begin, end)
        return apart + _RECOVERY >= self._options.outage_timeout + self._options.lease

    def second_run(self, run: Run, later: Run) -> bool:
        if self._plan.weather.reset or self._plan.typescript is TypeScript.PRODUCES:
            return True
        if self.kept.deleted(run.stream_id, later.started):
            return True
        return any(
            damage.begin <= later.started
            and (damage.kind in _OF_BROKER or damage.host == run.host.name)
            for damage in self._damages
        )

    def unheard_cancel(self, cancel: Cancel) -> bool:
        runs = self._world.sources[cancel.stream_id].runs
        if any(run.generation == 0 for run in runs):
            return True
        if cancel.result is CancelResult.ALREADY_OVER and len(self._world.cancels) > 1:
            return True
        end = cancel.ended or float("inf")
        if self._plan.climate in {Climate.CALM, Climate.MESSAGES}:
            asked = self._world.timeline.losses_between(
                cancel.began, end, f":rs:request:{cancel.stream_id}"
            )
            return asked >= _CANCEL
        return self.any_trouble(cancel.began - 2 * self._options.lease, end)

    def any_trouble(self, begin: float, end: float) -> bool:
        return bool(self._around(begin, end)) or not self._plan.weather.fair

    def disturbed(self, run: Run) -> bool:
        """Something happened other than the end of other hosts."""
        if self._plan.climate in {Climate.BROKER, Climate.ALL}:
            return True
        return any(
            damage.kind is Kind.PAUSE or damage.host == run.host.name for damage in self._damages
        )

    def any_other_trouble(self, damage: Damage, end: float) -> bool:
        others = [one for one in self._around(damage.begin, end) if one is not damage]
        return bool(others) or bool(self._plan.weather.reset)

    def _missed(self, begin: float, end: float, most: int = _MANY) -> bool:
        return self._world.timeline.losses_between(begin, end) >= most

    def _over(self, host: Host, by: float) -> Iterable[Damage]:
        return (
            damage
            for damage in self._damages
            if damage.kind in _FINAL and damage.host == host.name and damage.begin <= by
        )

    def _outages(self) -> list[Damage]:
        return [damage for damage in self._damages if damage.kind is Kind.OUTAGE]

    def _around(self, begin: float, end: float) -> list[Damage]:
        """Return the damages between the two times, and earlier ones with lasting effects."""
        return [
            damage
            for damage in self._damages
            if damage.begin <= end
            and (damage.end + _RECOVERY >= begin or damage.keys != "kept" or damage.kind in _FINAL)
        ]

    def _trouble(self, host: Host, begin: float, end: float) -> float:
        """Return for how long the host was cut off or paused."""
        mine = [
            damage
            for damage in self._damages
            if damage.host == host.name and damage.kind is not Kind.OUTAGE
        ]
        return self._time(mine, begin, end)

    @staticmethod
    def _time(damages: list[Damage], begin: float, end: float) -> float:
        return sum(max(0.0, min(damage.end, end) - max(damage.begin, begin)) for damage in damages)
