"""The oracle: it knows what really happened, and checks the promises."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from resumable_stream._protocol.sentinel import DONE, Outcome, generation_of
from resumable_stream._reading.listener import Listener
from resumable_stream._reading.remote import RemoteReader
from resumable_stream._reading.unread import CHUNK_COST
from resumable_stream._text.joined import Joined
from simulation.answers import check_cancels, check_typescript_readers
from simulation.excuses import Excuses
from simulation.journal_oracle import check_kept
from simulation.kept import erases, recorded_in
from simulation.pace import check_pace
from simulation.texts import check_visit
from simulation.troubles import Climate, Kind

if TYPE_CHECKING:
    from simulation.adapters import Adapter
    from simulation.broker import Write
    from simulation.clock import Host
    from simulation.plan import Plan
    from simulation.weather import Damage
    from simulation.world import World

_SENTINEL = ":rs:sentinel:"
_OUTCOME = ":rs:outcome:"
_CHUNK = ":rs:chunk:"
_REQUEST = ":rs:request:"
_LOOK_EVERY = 0.7
_SOON = 2.0
_MAX_PIECE = 256 * 1024


class Oracle:
    def __init__(self, world: World) -> None:
        self.problems: list[str] = []
        self.damages: list[Damage] = []
        self.mishaps: list[tuple[float, float]] = []
        """When the journal alone was in trouble."""
        self.healed = world.loop.now
        self._world = world
        self._plan: Plan = world.plan
        self._publishers: dict[int, Host] = {}
        self._requests = 0
        self.heard: dict[int, list[float]] = {}
        """When each generation has published to its live channel."""
        world.server.on_publish = self._published

    def fail(self, promise: str, what: str) -> None:
        self.problems.append(f"{promise}: {what}")
        self._world.timeline.note(None, "PROBLEM", promise, what)

    async def watch(self) -> None:
        """Check P7 from time to time: the text in memory is bounded."""
        while True:
            self._check_memory()
            await asyncio.sleep(_LOOK_EVERY)

    async def settle(self) -> None:
        """Wait until every living producer has ended by itself."""
        while True:
            running = [
                producer.life.drained
                for machine in self._world.machines
                if not machine.gone and (bound := machine.context._binding.instance) is not None
                for producer in bound.running
            ]
            if not running:
                return
            await asyncio.wait(running)
            await asyncio.sleep(0)

    def waiting(self) -> str:
        """Return the visits that wait for ever, as text."""
        return "; ".join(str(visit) for visit in self._world.visits if not visit.ending) or "?"

    def judge(self) -> None:
        world = self._world
        excuses = Excuses(world)
        for visit in world.visits:
            for promise, what in check_visit(world, visit, excuses):
                self.fail(promise, f"{what}: {visit}")
        self._check_writes()
        self._check_claims(excuses)
        self._check_outcomes(excuses)
        self._check_recreation(excuses)
        self._check_runs(excuses)
        for promise, what in check_pace(world, excuses):
            self.fail(promise, what)
        for promise, what in check_cancels(world, excuses):
            self.fail(promise, what)
        self._check_economy()
        for promise, what in check_typescript_readers(world, excuses):
            self.fail(promise, what)
        for promise, what in check_kept(world, excuses):
            self.fail(promise, what)
        self._check_leaks()

    # P5

    def _published(self, by: Adapter, channel: str, message: bytes) -> None:
        """Check that only one host publishes frames of a generation."""
        self._requests += _REQUEST in channel
        if _CHUNK not in channel or b'{"type":"' not in message[:400]:
            return
        at = message.find(b'"generation":')
        if at < 0:
            return
        digits = message[at + 13 : at + 26].split(b",")[0].split(b"}")[0]
        if not digits.isdigit():
            return
        if f"{_CHUNK}{digits.decode()}:" in channel:
            self.heard.setdefault(int(digits), []).append(self._world.loop.now)
        holder = self._publishers.setdefault(int(digits), by.host)
        if holder is not by.host:
            self.fail("P5", f"{by.host.name} publishes as {holder.name}'s generation")

    def _check_writes(self) -> None:
        claims: dict[str, list[int]] = {}
        owners: dict[int, Host] = {}
        for write in self._world.server.writes:
            if _SENTINEL in write.key:
                self._check_sentinel(write, claims.setdefault(write.key, []), owners)
            elif _OUTCOME in write.key:
                stream = write.key.partition(_OUTCOME)[2]
                keys = [key for key in claims if key.endswith(_SENTINEL + stream)]
                self._check_outcome(write, claims[keys[0]] if keys else [])

    def _check_sentinel(self, write: Write, claims: list[int], owners: dict[int, Host]) -> None:
        if write.by.host.name == "typescript":
            return
        before = generation_of(write.before or "")
        if write.after == DONE:
            if write.before is None or erases(self._world, write):
                return  # created again by an ended producer: the outcome's check covers it
            if write.before == DONE or owners.get(before) is not write.by.host:
                self.fail("P5", f"{write.by.host.name} finishes {write.before!r}, not its own")
            return
        generation = generation_of(write.after)
        if owners.setdefault(generation, write.by.host) is not write.by.host:
            self.fail("P5", f"{write.by.host.name} writes another's generation {generation}")
        continues = write.before == DONE and self._plan.continues
        if write.before is not None and before != generation and not continues:
            self.fail("P5", f"{write.by.host.name} takes over {write.before!r}")
        if write.before is None and generation in claims:
            claims.remove(generation)  # the broker was emptied, and the id is claimed again
        if generation not in claims:
            claims.append(generation)

    def _check_outcome(self, write: Write, claims: list[int]) -> None:
        before, after = recorded_in(write.before), recorded_in(write.after)
        assert after is not None
        if before is None or before.generation == after.generation:
            return
        if (
            before.generation in claims
            and after.generation in claims
            and claims.index(before.generation) > claims.index(after.generation)
        ):
            self.fail("P5", f"{write.by.host.name} overwrites its successor's outcome")

    def _check_claims(self, excuses: Excuses) -> None:
        """A claim is without a run only if its caller has gone, and then it soon expires."""
        for stream_id in self._world.sources:
            for generation, writes in excuses.abandoned(stream_id).items():
                host, at = writes[0].by.host, writes[0].at
                callers = [
                    visit
                    for visit in self._world.visits
                    if visit.stream_id == stream_id and visit.host is host and visit.began <= at
                ]
                if excuses.cancelled_unstarted(stream_id) or excuses.buries(stream_id, writes[0]):
                    continue
                if not any(excuses.gave_up(visit) for visit in callers):
                    self.fail("P5", f"nobody runs the claim {generation}, won at {at - 1000:.4f}")
                elif len(writes) < 2 and self._plan.climate in {Climate.CALM, Climate.MESSAGES}:
                    self.fail("P10", f"the claim {generation} is left to its lease")

    def _check_outcomes(self, excuses: Excuses) -> None:
        """The end of every run is recorded, unless something prevented it."""
        recorded = {
            outcome.generation
            for write in self._world.server.writes
            if _OUTCOME in write.key and (outcome := Outcome.decode(write.after)) is not None
        }
        for sources in self._world.sources.values():
            for run in sources.runs:
                if run.generation in recorded or run.producer is None or run.ending is None:
                    continue
                if not excuses.unrecorded(run):
                    self.fail("P3", f"the end of generation {run.generation} was not recorded")

    def _check_recreation(self, excuses: Excuses) -> None:
        """P6: if a broker comes back empty, producers create their sentinels again at once."""
        soon = _SOON + 20 * max(latency for latency, _offset, _rate in self._plan.hosts)
        damages = [damage for damage in self.damages if damage.kind is Kind.OUTAGE]
        runs = [run for sources in self._world.sources.values() for run in sources.runs]
        for run in runs:
            for damage in damages:
                due = damage.end + soon
                over = min(run.exhausted or due + 1, run.closed or due + 1, run.released or due + 1)
                if damage.keys != "none" or run.started > damage.begin or over < due:
                    continue
                if excuses.superseded(run) or excuses.any_other_trouble(damage, due):
                    continue
                if not any(
                    write.by.host is run.host and damage.end < write.at < due
                    for write in self._world.server.writes
                ):
                    self.fail("P6", f"the sentinel was not created again by {due - 1000:.3f}")

    def _check_runs(self, excuses: Excuses) -> None:
        for sources in self._world.sources.values():
            for run, later in zip(sources.runs, sources.runs[1:], strict=False):
                if not excuses.second_run(run, later):
                    self.fail(
                        "P5", f"{later.host.name} ran the source again at {later.started - 1000}"
                    )

    # P7

    def _check_memory(self) -> None:
        plan, largest = self._plan, self._largest_chunk()
        for machine in self._world.machines:
            bound = machine.context._binding.instance
            for producer in bound.running if bound is not None else ():
                log: Any = producer.log
                kept = sum(sum(map(len, block.texts(0))) for block in log._blocks)
                kept += sum(map(len, log._open))
                if kept > plan.options.buffer_limit * 5 // 4 + 2 * largest:
                    self.fail("P7", f"a log keeps {kept}")
                outlet = producer._service.outlet
                owed = len(outlet.outgoing._replies) if outlet is not None else 0
                if owed > len(self._world.visits) + 1:
                    self.fail("P7", "more replies are owed than there are readers")
        for reader in self._world.readers:
            if isinstance(reader, RemoteReader):
                self._check_what_it_holds(reader, largest)

    def _check_what_it_holds(self, reader: RemoteReader, largest: int) -> None:
        window, piece = self._plan.options.window, min(_MAX_PIECE, self._plan.max_message_size)
        dialect: Any = reader._dialect
        runs = [
            run.texts() if isinstance(run, Joined) else run
            for run, _cost, _units in reader.unread._runs
        ]
        queued = sum(len(chunk) for run in runs for chunk in run)
        # A TypeScript producer sends all earlier text as one message.
        most = largest if isinstance(dialect, Listener) else self._longest_text()
        if queued > window + piece + most:
            self.fail("P7", f"a reader holds {queued}")
        if isinstance(dialect, Listener):
            # The newest run may exceed the window; each frame here makes one run.
            before = sum(sum(map(len, run)) + CHUNK_COST * len(run) for run in runs[:-1])
            if before > window:
                self.fail("P7", f"a reader had {before} waiting and took more")
            if dialect._assembly._held_bytes > window:
                self.fail("P7", f"a reader keeps {dialect._assembly._held_bytes} for later")

    def _longest_text(self) -> int:
        runs = [run for sources in self._world.sources.values() for run in sources.runs]
        return max((sum(map(len, run.chunks)) for run in runs), default=0)

    def _largest_chunk(self) -> int:
        runs = [run for sources in self._world.sources.values() for run in sources.runs]
        return max((len(chunk) for run in runs for chunk in run.chunks), default=0)

    # P8

    def _check_economy(self) -> None:
        if self._requests:
            return
        if self._world.server.published:
            self.fail("P8", f"published to nobody: {self._world.server.published}")

    # P10

    def _check_leaks(self) -> None:
        world = self._world
        for adapter in world.server.adapters:
            host = adapter.host
            if host.dead or host.name == "typescript":
                continue
            if adapter.subscriptions:
                channels = [one.channel for one in adapter.subscriptions.values()]
                self.fail("P10", f"{host.name} leaves subscriptions: {channels}")
            if adapter.calls:
                self.fail("P10", f"{host.name} leaves calls")
            # A source that takes too long to close is left alone.
            tasks = [
                name for task in host.running() if not (name := task.get_name()).endswith("source")
            ]
            if tasks:
                self.fail("P10", f"{host.name} leaves tasks: {tasks}")
        for machine in world.machines:
            if (bound := machine.context._binding.instance) is not None and not machine.host.dead:
                self.fail("P10", f"{machine.host.name} is still bound: {bound}")
