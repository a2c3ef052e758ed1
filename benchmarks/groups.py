"""The tables of all contenders, in the order in which they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.contenders import OURS_REDIS, OURS_SSE
from benchmarks.workloads import (
    alone,
    http,
    idle,
    imports,
    journal,
    live,
    many,
    memory,
    resume,
)

if TYPE_CHECKING:
    from types import ModuleType

    from benchmarks.contenders import Contender


@dataclass(frozen=True)
class Group:
    """One table of all contenders: the module that measures it, and its columns.

    ``ours`` is the contender to which the ratios are.
    """

    title: str
    module: ModuleType
    workloads: tuple[str, ...]
    metrics: tuple[str, ...]
    ours: Contender = OURS_REDIS


GROUPS = (
    Group("Nobody resumes", alone, ("W1", "W1b"), ("chunks_per_s", "lag_ms", "cpu_us", "sent")),
    Group(
        "Live, 200 chunks/s, to 1, 10 and 100 listeners",
        live,
        ("W2/1", "W2/10", "W2/100"),
        ("p50_ms", "p99_ms", "own_p50_ms", "rate"),
    ),
    Group(
        "Live, as fast as it goes, to 1, 10 and 100 listeners",
        live,
        ("W2u/1", "W2u/10", "W2u/100"),
        ("deliveries_per_s", "cpu_us", "listener_cpu_us"),
    ),
    Group(
        "Resume at 0 of 1,000, 10,000 and 100,000 chunks",
        resume,
        ("W3/1000", "W3/10000", "W3/100000"),
        ("first_ms", "caught_up_ms", "lag_ms", "cpu_ms", "listener_cpu_ms"),
    ),
    Group(
        "500 streams of 20 chunks/s, and 2,000 of 5, one listener each",
        many,
        ("W4", "W4/2000"),
        (
            *("delivered", "p50_ms", "p99_ms", "cpu", "cpu_us", "listener_cpu_us"),
            *("connections", "producer_kb", "listener_kb"),
        ),
    ),
    Group(
        "Memory of the text, and what is left",
        memory,
        ("W5", "W5/left"),
        ("memory", "server", "left_kb", "keys", "eternal_keys"),
    ),
    Group(
        "10,000 idle streams in one process",
        idle,
        ("W6",),
        ("memory_kb", "cpu", "commands_per_s", "starts_per_s"),
    ),
    Group("Import", imports, ("W7",), ("import_ms", "import_cpu_ms", "drivers")),
    Group(
        "Through HTTP, behind 1,000, 10,000 and 100,000 chunks",
        http,
        ("W8/1000", "W8/10000", "W8/100000"),
        ("first_ms", "caught_up_ms", "lag_ms", "server_cpu_us"),
        OURS_SSE,
    ),
    Group(
        "Through HTTP, live, 200 chunks/s, to 1, 100 and 1,000 clients",
        http,
        ("W8l/1", "W8l/100", "W8l/1000"),
        ("p50_ms", "p99_ms", "server_cpu_us", "rate"),
        OURS_SSE,
    ),
    Group(
        "Through HTTP, 2,000 clients of 200 streams of 2 chunks/s",
        http,
        ("W8m",),
        ("status_p50_ms", "status_p99_ms", "delivered", "p50_ms", "p99_ms", "cpu"),
        OURS_SSE,
    ),
    Group("Through HTTP, 5,000 idle clients", http, ("W8i",), ("memory_kb", "cpu"), OURS_SSE),
    Group(
        "Nobody resumes, and the text is kept",
        journal,
        ("W9/exit", "W9/async", "W9/sync"),
        ("chunks_per_s", "rate_beside", "cpu_us", "cpu_beside", "lag_ms"),
    ),
    Group(
        "What a slow stream sends, with its text and without",
        journal,
        ("W9c", "W9c/exit", "W9c/async", "W9c/sync"),
        ("sent", "received_kb"),
    ),
    Group(
        "Read again after the end, 1,000, 10,000 and 100,000 chunks",
        journal,
        ("W9r/1000", "W9r/slow", "W9r/10000", "W9r/100000"),
        ("first_ms", "caught_up_ms", "lag_ms", "listener_cpu_ms"),
    ),
    Group(
        "2,000 streams of 5 chunks/s, one listener each, and the text is kept",
        journal,
        ("W9m",),
        (
            *("delivered", "p50_ms", "p99_ms", "cpu", "cpu_us", "listener_cpu_us"),
            *("producer_kb", "listener_kb"),
        ),
    ),
    Group(
        "Live, 200 chunks/s, to 1 listener, and the text is kept first",
        journal,
        ("W9l", "W9l/sync"),
        ("p50_ms", "p99_ms", "own_p50_ms", "own_p99_ms"),
    ),
)
