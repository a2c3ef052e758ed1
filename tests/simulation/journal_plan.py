"""What a seed determines about the journal, by random streams of its own."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from simulation.journal import LOSSES, Habits, Mishap
from simulation.troubles import PRODUCER, ClientPlan, Climate, Kind, Trouble

if TYPE_CHECKING:
    from resumable_stream import Options
    from simulation.sources import Script

# Seeds that leave this remainder have a journal. The others mean what they meant without one.
_EVERY = 4
_JOURNALED = 3

_AMPLE = 10**9
_ELSEWHERE = 0.4
_CONTINUES = 0.4


@dataclass(frozen=True)
class JournalTrouble:
    """One trouble of the journal alone."""

    at: float
    mishap: Mishap
    lasts: float


@dataclass(frozen=True)
class JournalPlan:
    """How text is kept in a run.

    Attributes:
        durability: that of most hosts.
        unlike: the durability of each host that has another one, by its number.
        after_outage: what an outage that keeps no keys leaves of the logs.
        deletes: of which stream, when, and on which host.
    """

    durability: str | None
    unlike: dict[int, str | None]
    retention: float
    limit: int
    habits: Habits
    after_outage: str
    troubles: tuple[JournalTrouble, ...] = ()
    deletes: tuple[tuple[str, float, int], ...] = ()
    host_troubles: tuple[Trouble, ...] = ()
    clients: tuple[tuple[str, ClientPlan], ...] = ()
    lasts: float = field(default=0.0)
    """When the last client comes, in seconds from the beginning."""
    continues: bool = False
    """Whether whoever starts a stream continues one that was lost."""
    outlasts: float = 0.0
    """How long a stream's first source takes at least: longer than its host is cut off."""

    def paced(self, script: Script, run: int) -> Script:
        """Return what the n-th run of a stream produces."""
        if run or not self.outlasts:
            return script
        pause = self.outlasts / len(script.pauses)
        return replace(script, pauses=tuple(max(pause, one) for one in script.pauses))

    def options(self, options: Options, host: int) -> Options:
        durability = self.unlike.get(host, self.durability)
        return replace(
            options, durability=durability, retention=self.retention, journal_limit=self.limit
        )


def draw_journal(
    seed: int,
    climate: Climate,
    options: Options,
    hosts: int,
    storm: float,
    streams: tuple[str, ...],
) -> JournalPlan | None:
    """Draw whether text is kept, and how; None if there is no journal."""
    if seed % _EVERY != _JOURNALED:
        return None
    rng = random.Random(f"journal {seed}")
    apart = random.Random(f"journal elsewhere {seed}")
    elsewhere = apart.random() < _ELSEWHERE
    cuts = _draw_cuts(apart, climate, options, storm) if elsewhere else ()
    retention = rng.choice((3600.0, 3600.0, 3600.0, 60.0, 8.0))
    clients = tuple((stream, _late_client(rng, storm, retention)) for stream in streams * 3)
    clients += tuple((apart.choice(streams), _successor(apart, cut)) for cut in cuts)
    return JournalPlan(
        durability=rng.choice(("exit", "async", "async", "sync", "sync")),
        unlike={
            host: rng.choice((None, "exit", "async", "sync"))
            for host in range(hosts)
            if rng.random() < 0.15
        },
        retention=retention,
        limit=rng.choice((_AMPLE, _AMPLE, _AMPLE, _AMPLE, 2_000)),
        habits=replace(_draw_habits(rng, climate), elsewhere=elsewhere),
        after_outage=rng.choice(("as keys", "as keys", "kept", "none")),
        troubles=_draw_troubles(rng, climate, storm),
        deletes=tuple(
            (rng.choice(streams), rng.uniform(0, 2 * storm), rng.randrange(99))
            for _ in range(rng.choice((0, 0, 0, 0, 0, 1, 2)))
        ),
        host_troubles=(*_draw_host_troubles(rng, climate, options, hosts, storm), *cuts),
        clients=clients,
        lasts=max(client.at for _, client in clients),
        continues=random.Random(f"journal continues {seed}").random() < _CONTINUES,
        outlasts=max((cut.at + cut.lasts for cut in cuts), default=0.0),
    )


def _draw_habits(rng: random.Random, climate: Climate) -> Habits:
    habits = Habits(
        front_expires=rng.random() < 0.3,
        takes_gaps=rng.random() < 0.2,
        max_record_size=rng.choice((3_000, 8_192, 65_536)),
    )
    if climate is not Climate.CALM:
        habits.lost_reply = rng.choice((0.0, 0.0, 0.05, 0.3))
        habits.lost_write = rng.choice((0.0, 0.0, 0.05, 0.3))
    return habits


def _draw_troubles(
    rng: random.Random, climate: Climate, storm: float
) -> tuple[JournalTrouble, ...]:
    if climate is Climate.CALM:
        return ()
    mishaps = [Mishap.AWAY, Mishap.SLOW, Mishap.AWAY]
    if climate in {Climate.BROKER, Climate.ALL}:
        mishaps += [*Mishap, *LOSSES]
    return tuple(
        JournalTrouble(
            rng.uniform(0, storm), rng.choice(mishaps), rng.choice((0.5, 5.0, 20.0)) * rng.random()
        )
        for _ in range(rng.choice((0, 0, 0, 1, 2)))
    )


def _draw_host_troubles(
    rng: random.Random, climate: Climate, options: Options, hosts: int, storm: float
) -> tuple[Trouble, ...]:
    """Draw deaths, and pauses that are taken for deaths, besides those of every run."""
    if climate not in {Climate.HOSTS, Climate.ALL}:
        return ()
    return tuple(
        Trouble(
            at=rng.uniform(0, storm),
            kind=rng.choice((Kind.KILL, Kind.KILL, Kind.PAUSE)),
            host=rng.randrange(hosts),
            lasts=rng.uniform(1.2, 4.0) * options.lease,
            restart=rng.random() < 0.8,
        )
        for _ in range(rng.choice((0, 1, 1, 2)))
    )


def _draw_cuts(
    rng: random.Random, climate: Climate, options: Options, storm: float
) -> tuple[Trouble, ...]:
    """Draw for how long who produces reaches the journal, and not the broker."""
    if climate not in {Climate.BROKER, Climate.ALL}:
        return ()
    return tuple(
        Trouble(
            at=rng.uniform(0.1, storm / 2),
            kind=rng.choice((Kind.UNPLUG, Kind.BLACK_HOLE)),
            host=PRODUCER,
            lasts=rng.uniform(1.2, 4.0) * options.lease,
        )
        for _ in range(rng.choice((0, 1, 1, 2)))
    )


def _successor(rng: random.Random, cut: Trouble) -> ClientPlan:
    """Draw a client that starts the stream anew while its producer may be cut off."""
    return ClientPlan(
        at=cut.at + rng.uniform(0.3, 1.0) * cut.lasts,
        starts=True,
        create=False,
        offset=0,
        by_event=0.0,
        pause=0.0,
        stays=None,
        patience=None,
        cancelled_after=None,
        leaves_by="aclose",
        moves=True,
    )


def _late_client(rng: random.Random, storm: float, retention: float) -> ClientPlan:
    """Draw a client that comes late, when the stream may be over, lost, erased or expired."""
    after = rng.choice((1.0, 20.0, min(retention, 90.0), min(1.5 * retention, 150.0)))
    return ClientPlan(
        at=rng.choice((rng.uniform(0, storm), storm + rng.uniform(0, after))),
        starts=rng.random() < 0.4,
        create=False,
        offset=rng.choice((0, 0, 0, rng.randrange(30), rng.randrange(3_000))),
        by_event=rng.choice((0.0, 0.5, 1.0)),
        pause=rng.choice((0.0, 0.0, 0.0, 0.3)),
        stays=rng.choice((None, None, None, rng.randrange(1, 12))),
        patience=rng.choice((None, None, None, 0.0, rng.uniform(0, 1.0))),
        cancelled_after=None,
        leaves_by=rng.choice(("aclose", "drop")),
        moves=True,
        replay=rng.random() < 0.85,
        borrows=rng.random() < 0.3,
    )
