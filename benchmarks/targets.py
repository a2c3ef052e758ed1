"""The targets of this library; a run judges them, by contenders measured in the same run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.contenders import (
    ASSISTANT,
    FASTAPI,
    FRAMES,
    HIREDIS,
    NATS_PY,
    NPM,
    NPM_HTTP,
    OURS_MEMORY,
    OURS_NATS,
    OURS_REDIS,
    OURS_RUNS,
    OURS_SQLITE,
    OURS_SSE,
    QUEUE,
    QUEUES,
    SOURCE,
    STARLETTE,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.contenders import Contender
    from benchmarks.results import Results

OURS = (OURS_REDIS, OURS_NATS, OURS_MEMORY)
OURS_WEB = (OURS_SSE, OURS_RUNS)
OURS_KEPT = (OURS_REDIS, OURS_NATS, OURS_SQLITE)
# For each of ours, the least that carries a stream over the same broker.
_FLOORS = {OURS_REDIS.name: HIREDIS.name, OURS_NATS.name: NATS_PY.name}


@dataclass(frozen=True)
class Target:
    """A bound on a metric of ours: absolute, or a multiple of a reference.

    Attributes:
        beyond: the bound is on what is more than the reference, not on a multiple of it.
        beside: the contender that is the reference; ``"floor"`` is the floor of the same broker,
            ``"ours"`` the same contender.
        workload_beside: the workload of the reference, if it is another one.
        ours: those of ours that it judges.
    """

    workload: str
    metric: str
    at_most: float | None = None
    at_least: float | None = None
    beside: str | None = None
    workload_beside: str | None = None
    beyond: bool = False
    ours: tuple[Contender, ...] = OURS

    def reference(self, ours: str) -> tuple[str, str] | None:
        """Return the reference's workload and contender; None for an absolute bound."""
        if self.beside is None:
            return None
        named = {"floor": _FLOORS.get(ours, ""), "ours": ours}
        return self.workload_beside or self.workload, named.get(self.beside, self.beside)

    @property
    def bound(self) -> float:
        bound = self.at_most if self.at_least is None else self.at_least
        assert bound is not None  # noqa: S101
        return bound


@dataclass(frozen=True)
class Judgement:
    """Whether a target was reached.

    Attributes:
        value: our measured value.
        ratio: our value divided by the reference's, or what it is beyond that; the value itself
            without a reference.
    """

    target: Target
    ours: str
    value: float
    ratio: float
    reached: bool


def _targets() -> list[Target]:
    found = [
        Target("W1", "chunks_per_s", at_least=1.0, beside=QUEUE.name),
        Target("W1", "sent", at_most=1),
        Target("W1", "lag_ms", at_most=5),
        Target("W1b", "chunks_per_s", at_least=0.9, beside=SOURCE.name),
    ]
    for listeners, times in ((1, 1.3), (10, 1.5), (100, 1.5)):
        found += [
            Target(f"W2/{listeners}", "p50_ms", at_most=times, beside="floor"),
            Target(f"W2/{listeners}", "p99_ms", at_most=2.0, beside="floor"),
        ]
    found.append(Target("W2/1", "p50_ms", at_most=1.0, beside=NPM.name))
    found.append(Target("W2/100", "own_p50_ms", at_most=1.5, beside="ours", workload_beside="W2/1"))
    found += [
        Target(f"W2u/{listeners}", "deliveries_per_s", at_least=times, beside=NPM.name)
        for listeners, times in ((1, 10.0), (10, 4.0), (100, 3.0))
    ]
    found.append(Target("W2u/100", "cpu_us", at_most=1.0, beside="ours", workload_beside="W2u/1"))
    for buffered in (1_000, 10_000, 100_000):
        name = f"W3/{buffered}"
        # Few chunks take what a message takes; of many, the npm package sends one text.
        caught_up = ("floor", 1.5) if buffered == 1_000 else (NPM.name, 1.0)
        found += [
            Target(name, "first_ms", at_most=1.5, beside="floor", workload_beside="W3/1000"),
            Target(name, "caught_up_ms", at_most=caught_up[1], beside=caught_up[0]),
            Target(name, "lag_ms", at_most=5),
        ]
    found += [
        Target("W4", "delivered", at_least=99.99),
        Target("W4", "p50_ms", at_most=1.0, beside=NPM.name),
        Target("W4", "p99_ms", at_most=1.0, beside=NPM.name),
        Target("W4", "p50_ms", at_most=2.0, beside=FRAMES.name, ours=(OURS_REDIS,)),
        Target("W4", "p99_ms", at_most=2.0, beside=FRAMES.name, ours=(OURS_REDIS,)),
        Target("W4", "cpu_us", at_most=40, beside=SOURCE.name, beyond=True),
        Target("W4", "listener_cpu_us", at_most=30),
        Target("W4", "connections", at_most=4),
        Target("W4", "producer_kb", at_most=60),
        Target("W4", "listener_kb", at_most=60),
        Target("W4/2000", "delivered", at_least=99.99),
        Target("W5", "memory", at_most=1.5),
        Target("W5/left", "keys", at_most=2),
        Target("W5/left", "eternal_keys", at_most=0),
        Target("W6", "memory_kb", at_most=15),
        Target("W6", "cpu", at_most=4, ours=(OURS_REDIS, OURS_MEMORY)),
        Target("W6", "cpu", at_most=10, ours=(OURS_NATS,)),
        Target("W6", "starts_per_s", at_least=5_000, ours=(OURS_REDIS, OURS_MEMORY)),
        Target("W6", "starts_per_s", at_least=3_000, ours=(OURS_NATS,)),
        Target("W7", "import_ms", at_most=60),
        Target("W7", "drivers", at_most=0),
    ]
    return found


def _web_targets() -> Iterator[Target]:
    web = partial(Target, ours=OURS_WEB)
    for buffered, times in ((1_000, 1.5), (10_000, 1.5), (100_000, 2.5)):
        name = f"W8/{buffered}"
        yield web(name, "first_ms", at_most=1.5, beside=STARLETTE.name)
        yield web(name, "caught_up_ms", at_most=times, beside=NPM_HTTP.name)
        yield web(name, "lag_ms", at_most=5)
    for clients in (1, 100, 1_000):
        yield web(f"W8l/{clients}", "p50_ms", at_most=1.5, beside=QUEUES.name)
        yield web(f"W8l/{clients}", "p99_ms", at_most=2.0, beside=QUEUES.name)
    yield web("W8m", "status_p99_ms", at_most=50)
    yield web("W8m", "delivered", at_least=99.99)
    yield web("W8m", "cpu", at_most=60)
    yield web("W8i", "memory_kb", at_most=1.3, beside=QUEUES.name)
    yield web("W8i", "cpu", at_most=5)


def _journal_targets() -> Iterator[Target]:
    kept = partial(Target, ours=OURS_KEPT)
    for durability, rate, cost in (("exit", 97, 103), ("async", 90, 110)):
        yield kept(f"W9/{durability}", "rate_beside", at_least=rate)
        yield kept(f"W9/{durability}", "cpu_beside", at_most=cost)
    by_chunk = (ASSISTANT.name, FASTAPI.name)
    for durability in ("exit", "async", "sync"):
        name = f"W9/{durability}"
        for peer in by_chunk:
            yield kept(name, "chunks_per_s", at_least=10.0, beside=peer, workload_beside="W1b")
    # With "sync", a chunk that comes alone is a record by itself.
    for durability, times in (("exit", 0.1), ("async", 0.1), ("sync", 1.0)):
        for peer in by_chunk:
            yield Target(
                f"W9c/{durability}",
                "sent",
                at_most=times,
                beside=peer,
                workload_beside="W9c",
                ours=(OURS_REDIS, OURS_NATS),
            )
    sizes = (1_000, 10_000, 100_000)
    for name, live in (
        ("W9r/slow", "W3/1000"),
        *((f"W9r/{size}", f"W3/{size}") for size in sizes),
    ):
        for ours, beside in (((OURS_REDIS, OURS_NATS), "ours"), ((OURS_SQLITE,), OURS_REDIS.name)):
            yield Target(
                name, "caught_up_ms", at_most=2.0, beside=beside, workload_beside=live, ours=ours
            )
        yield kept(name, "lag_ms", at_most=5)
    yield kept("W9m", "delivered", at_least=99.99)
    for metric, times in (("p50_ms", 1.5), ("p99_ms", 1.5), ("cpu_us", 1.5)):
        yield Target(
            "W9m",
            metric,
            at_most=times,
            beside="ours",
            workload_beside="W4/2000",
            ours=(OURS_REDIS, OURS_NATS),
        )
    for metric, more in (("p50_ms", 15), ("p99_ms", 30), ("own_p50_ms", 15), ("own_p99_ms", 30)):
        yield kept(
            "W9l/sync", metric, at_most=more, beside="ours", workload_beside="W9l", beyond=True
        )


# The contenders of ours that each set of targets judges, and the set.
SETS = (
    (OURS, _targets()),
    (OURS_WEB, [*_web_targets()]),
    (OURS_KEPT, [*_journal_targets()]),
)
TARGETS = [target for _, targets in SETS for target in targets]


def judge(results: Results, target: Target, ours: Contender) -> Judgement | None:
    """Judge one of ours by a target; None if it or the reference was not measured."""
    value = results.value(target.workload, ours.name, target.metric)
    if value is None:
        return None
    ratio, reference = value, target.reference(ours.name)
    if reference is not None:
        beside = results.value(*reference, target.metric)
        if not beside:
            return None
        ratio = value - beside if target.beyond else value / beside
    reached = ratio <= target.bound if target.at_least is None else ratio >= target.bound
    return Judgement(target, ours.name, value, ratio, reached)


def judge_all(results: Results) -> list[Judgement]:
    judged = [judge(results, target, ours) for target in TARGETS for ours in target.ours]
    return [judgement for judgement in judged if judgement is not None]
