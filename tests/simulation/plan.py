"""What a seed determines: machines, options, what every client does, and what breaks when."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from resumable_stream import Options
from simulation.broker import Weather
from simulation.journal_plan import JournalPlan, draw_journal
from simulation.sources import Script, draw_script
from simulation.troubles import ClientPlan, Climate, Kind, Trouble

if TYPE_CHECKING:
    from resumable_stream._text.offsets import OffsetUnit


class TypeScript(StrEnum):
    """What the TypeScript peers do."""

    ABSENT = "absent"
    READS = "reads"
    PRODUCES = "produces"


@dataclass(frozen=True)
class Plan:
    seed: int
    climate: Climate
    typescript: TypeScript
    options: Options
    hosts: tuple[tuple[float, float, float], ...]
    """Latency, clock offset and clock rate of each."""
    max_message_size: int
    max_pending: int
    shuffle: bool
    streams: tuple[str, ...]
    clients: tuple[tuple[str, ClientPlan], ...]
    cancels: tuple[tuple[str, float, int], ...]
    troubles: tuple[Trouble, ...]
    weather: Weather
    storm: float
    """When all trouble is over."""
    scripts_seed: int
    journal: JournalPlan | None

    def script(self, stream_id: str, run: int) -> Script:
        """Draw what the n-th run of a stream produces."""
        rng = random.Random(f"{self.scripts_seed} {stream_id} {run}")
        script = draw_script(rng, self.storm, plain=self.typescript is not TypeScript.ABSENT)
        return script if self.journal is None else self.journal.paced(script, run)

    @property
    def continues(self) -> bool:
        """Whoever starts a stream continues one that was lost."""
        return self.journal is not None and self.journal.continues

    def options_of(self, host: int) -> Options:
        """Return the options of a host, by its number."""
        return self.options if self.journal is None else self.journal.options(self.options, host)

    @property
    def unit(self) -> OffsetUnit:
        return self.options.unit


# From this latency on, short times are not drawn: a handshake takes some ten messages, and a
# renewal may take six.
_SLOW = 0.05

_CLIMATES = (
    (Climate.CALM, 3),
    (Climate.MESSAGES, 4),
    (Climate.BROKER, 4),
    (Climate.HOSTS, 4),
    (Climate.ALL, 5),
)


def draw(seed: int) -> Plan:
    rng = random.Random(seed)
    climate = rng.choices(
        [climate for climate, _ in _CLIMATES], [weight for _, weight in _CLIMATES]
    )[0]
    gentle = climate in {Climate.CALM, Climate.HOSTS, Climate.BROKER}
    typescript = TypeScript.ABSENT
    if gentle and rng.random() < 0.5:
        typescript = rng.choice((TypeScript.READS, TypeScript.READS, TypeScript.PRODUCES))
    latency = rng.choice((0.0, 0.0005, 0.0005, 0.01, 0.08))
    options = _draw_options(rng, typescript, latency, random.Random(f"grace {seed}"))
    drift = rng.choice((0.0, 0.0, 0.001))
    hosts = tuple(
        (latency * rng.uniform(0.5, 2), rng.uniform(0, 1e5), 1 + rng.uniform(-drift, drift))
        for _ in range(rng.choice((1, 2, 2, 3, 4)))
    )
    streams = ("s",) if rng.random() < 0.8 else ("s", "s2")
    storm = rng.uniform(2.0, 3.5 * options.lease)
    troubles = _draw_troubles(rng, _kinds(climate, typescript), options, len(hosts), storm)
    journal = draw_journal(seed, climate, options, len(hosts), storm, streams)
    if journal is not None:
        troubles = (*troubles, *journal.host_troubles)
    return Plan(
        seed=seed,
        climate=climate,
        typescript=typescript,
        options=options,
        hosts=hosts,
        max_message_size=rng.choice((4096, 65_536, 1024 * 1024)),
        max_pending=rng.choice((4, 1024, 1024)) if climate is not Climate.CALM else 1024,
        shuffle=rng.random() < 0.6,
        streams=streams,
        clients=tuple(
            (stream, client) for stream in streams for client in _draw_clients(rng, storm)
        )
        + (journal.clients if journal is not None else ()),
        cancels=tuple(
            (rng.choice(streams), rng.choice((0.0, 0.05, rng.uniform(0, storm))), rng.randrange(99))
            for _ in range(rng.choice((0, 0, 0, 0, 1, 2)))
        ),
        troubles=troubles,
        weather=_draw_weather(rng, climate),
        storm=max([storm, *(trouble.at + trouble.lasts for trouble in troubles)]),
        scripts_seed=rng.randrange(2**32),
        journal=journal,
    )


def _draw_options(
    rng: random.Random, typescript: TypeScript, latency: float, of_grace: random.Random
) -> Options:
    lease = rng.choice((2.0, 5.0, 15.0)) if latency < _SLOW else 15.0
    return Options(
        lease=lease,
        heartbeat=rng.choice((None, None, lease / 3, 0.1)),
        handshake_timeout=rng.choice((1.0, 5.0, 5.0)) if latency < _SLOW else 5.0,
        outage_timeout=rng.choice((2.0 * lease, 60.0)),
        drain_timeout=rng.choice((0.0, 2.0)),
        linger_timeout=rng.choice((30.0, 300.0)),
        buffer_limit=rng.choice((100, 3_000, 10**9, 10**9, 10**9)),
        window=rng.choice((4096, 4096, 1024 * 1024)),
        offset_unit=rng.choice(("utf-16", "utf-16", "code-points"))
        if typescript is TypeScript.ABSENT
        else "utf-16",
        disclose_errors=rng.random() < 0.8,
        grace=of_grace.choice((0.0, 5.0, 30.0)),
    )


def _draw_weather(rng: random.Random, climate: Climate) -> Weather:
    if climate is Climate.MESSAGES or (climate is Climate.ALL and rng.random() < 0.5):
        chance = rng.choice((0.02, 0.08, 0.2))
        drop, repeat, late, cut = (chance * rng.random() * rng.choice((0, 1, 1)) for _ in range(4))
        return Weather(drop, repeat, late, cut, chance / 10 if climate is Climate.ALL else 0.0)
    if climate is Climate.BROKER:
        return Weather(reset=rng.choice((0.0, 0.0, 0.01, 0.05)))
    return Weather()


def _kinds(climate: Climate, typescript: TypeScript) -> list[Kind]:
    kinds: list[Kind] = []
    if climate in {Climate.BROKER, Climate.ALL}:
        kinds += [Kind.UNPLUG, Kind.BLACK_HOLE]
        if typescript is TypeScript.ABSENT:
            # TypeScript peers can repair neither an outage nor a loss that is not reported.
            kinds += [Kind.DEAFEN, Kind.OUTAGE, Kind.OUTAGE, Kind.OUTAGE]
    if climate in {Climate.HOSTS, Climate.ALL}:
        kinds += [Kind.PAUSE, Kind.PAUSE, Kind.KILL, Kind.CLOSE]
    return kinds


def _draw_troubles(
    rng: random.Random, kinds: list[Kind], options: Options, hosts: int, storm: float
) -> tuple[Trouble, ...]:
    if not kinds:
        return ()
    troubles: list[Trouble] = []
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        kind = rng.choice(kinds)
        longest = options.lease * rng.choice((0.5, 0.5, 0.5, 2.2, 2.2, 3.5))
        troubles.append(
            Trouble(
                at=rng.uniform(0, rng.choice((0.3, storm, storm, storm))),
                kind=kind,
                host=rng.randrange(hosts),
                lasts=0.0 if kind in {Kind.KILL, Kind.CLOSE} else rng.uniform(0.01, longest),
                keys=rng.choice(("kept", "none", "none", "old")) if kind is Kind.OUTAGE else "kept",
                restart=rng.random() < 0.6,
            )
        )
    return tuple(sorted(troubles, key=lambda trouble: trouble.at))


def _draw_clients(rng: random.Random, storm: float) -> list[ClientPlan]:
    clients: list[ClientPlan] = []
    for number in range(rng.choice((1, 2, 3, 3, 5, 8))):
        starts = number == 0 or rng.random() < 0.35
        clients.append(
            ClientPlan(
                at=rng.choice((0.0, 0.0, rng.uniform(0, 0.2), rng.uniform(0, storm))),
                starts=starts,
                create=starts and rng.random() < 0.1,
                offset=rng.choice((0, 0, 0, rng.randrange(30), rng.randrange(3000))),
                by_event=rng.choice((0.0, 0.5, 1.0)),
                pause=rng.choice((0.0, 0.0, 0.0, 0.01, 0.3)),
                stays=rng.choice((None, None, rng.randrange(1, 12))),
                patience=rng.choice((None, None, None, 0.0, rng.uniform(0, 1.0))),
                cancelled_after=rng.choice((None, None, None, rng.uniform(0, storm))),
                leaves_by=rng.choice(("aclose", "drop")),
                moves=rng.random() < 0.7,
            )
        )
    return clients
