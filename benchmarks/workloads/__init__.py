"""The workloads, one module for each group, in the order in which they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    from benchmarks.stage import Scale, Workload


def workloads(scale: Scale) -> list[Workload]:
    groups = (alone, live, resume, many, memory, idle, imports, http, journal)
    return [workload for group in groups for workload in group.workloads(scale)]
