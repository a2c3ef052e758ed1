"""Results as Markdown: the tables of all contenders, the targets, README's short table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.contenders import (
    ALL,
    HIREDIS,
    NPM,
    NPM_HTTP,
    OURS_NATS,
    OURS_REDIS,
    OURS_SSE,
    QUEUE,
    QUEUES,
    SOURCE,
    STARLETTE,
    Kind,
)
from benchmarks.metrics import METRICS
from benchmarks.targets import SETS, judge, judge_all

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.groups import Group
    from benchmarks.results import Results
    from benchmarks.targets import Target

# If a table has more columns, each size of a workload gets a table of its own.
_MAX_COLUMNS = 8
_PYTHON_PEERS = [c for c in ALL if c.kind is Kind.PEER and c not in {NPM, NPM_HTTP}]


def number(value: float) -> str:
    """Write a number with two or three significant digits."""
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            scaled = value / size
            return f"{scaled:.0f}{letter}" if abs(scaled) >= 100 else f"{scaled:.3g}{letter}"
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2g}" if abs(value) < 10 else f"{value:.3g}"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def group_table(results: Results, group: Group) -> str:
    """Return the table of all contenders, with ratios, and the failures; "" if nothing ran."""
    run = [workload for workload in group.workloads if workload in results.cells]
    if len(run) * len(group.metrics) > _MAX_COLUMNS:
        parts = [_contenders_table(results, group, [workload]) for workload in run]
    else:
        parts = [_contenders_table(results, group, run)] if run else []
    failures = [
        f"- {contender} failed {workload}: {cell.failure}"
        for workload in run
        for contender, cell in results.cells[workload].items()
        if cell.failure
    ]
    return "\n\n".join([*parts, *(["\n".join(failures)] if failures else [])])


def _contenders_table(results: Results, group: Group, workloads: list[str]) -> str:
    columns = [(w, m) for w in workloads for m in group.metrics if _is_measured(results, w, m)]
    several = len(workloads) > 1
    head = ["" if several else workloads[0]]
    head += [_heading(workload if several else "", metric) for workload, metric in columns]
    rows = []
    for contender in ALL:
        if any(contender.name in results.cells[workload] for workload in workloads):
            mine = contender.kind is Kind.OURS
            name = f"**{contender.name}**" if mine else contender.name
            rows.append([name, *(_cell(results, group, w, contender.name, m) for w, m in columns)])
    return table(head, rows)


def targets_table(results: Results) -> str:
    """Return the tables of our targets, and whether they were reached."""
    parts = []
    for ours, targets in SETS:
        rows = []
        for target in targets:
            cells = [_judged(results, target, one) if one in target.ours else "" for one in ours]
            if any(cells):
                rows.append([target.workload, _wanted(target), *cells])
        if rows:
            parts.append(table(["", "wanted", *(one.name for one in ours)], rows))
    return "\n\n".join(parts)


def score(results: Results) -> str:
    judged = judge_all(results)
    return f"{sum(j.reached for j in judged)} of {len(judged)} targets reached"


_SHORT = (
    ("HTTP, behind 10,000 chunks: caught up, ms", "W8/10000", "caught_up_ms", STARLETTE),
    ("HTTP, live to 100 clients: p99, ms", "W8l/100", "p99_ms", QUEUES),
    ("HTTP, 2,000 clients: p99 of a status request, ms", "W8m", "status_p99_ms", QUEUES),
    ("Nobody resumes: chunks/s through the producer's own reader", "W1", "chunks_per_s", QUEUE),
    ("the same, from a source that yields to the loop", "W1b", "chunks_per_s", SOURCE),
    ("Live to 1 listener: p99, ms", "W2/1", "p99_ms", HIREDIS),
    ("Live to 100 listeners: p99, ms", "W2/100", "p99_ms", HIREDIS),
    ("Unpaced to 1 listener: chunks delivered/s", "W2u/1", "deliveries_per_s", HIREDIS),
    ("Unpaced to 100 listeners: chunks delivered/s", "W2u/100", "deliveries_per_s", HIREDIS),
    ("Resume behind 100,000 chunks: first text, ms", "W3/100000", "first_ms", HIREDIS),
    ("Resume behind 100,000 chunks: caught up, ms", "W3/100000", "caught_up_ms", HIREDIS),
    ("500 streams at once: p99, ms", "W4", "p99_ms", HIREDIS),
    ("Read again after the end, 10,000 chunks: caught up, ms", "W9r/10000", "caught_up_ms", None),
    ("Memory of the process for each MB of text, MB", "W5", "memory", None),
    ("Memory of an idle stream, kB", "W6", "memory_kb", SOURCE),
)


def short_table(results: Results) -> str:
    head = ["", OURS_REDIS.name, OURS_NATS.name, "npm", "best Python peer", "bare"]
    rows = []
    for title, workload, metric, floor in _SHORT:
        if workload.startswith(("W8", "W9")) and workload not in results.cells:
            continue
        ours, npm = (OURS_SSE, NPM_HTTP) if workload.startswith("W8") else (OURS_REDIS, NPM)
        peers = [
            results.value(workload, peer.name, metric)
            for peer in _PYTHON_PEERS
            # A peer that keeps the text at the broker has none in its process.
            if not (peer.store and metric == "memory")
        ]
        known = [value for value in peers if value is not None]
        best = (max if METRICS[metric].more else min)(known) if known else None
        values = [
            results.value(workload, ours.name, metric),
            results.value(workload, OURS_NATS.name, metric),
            results.value(workload, npm.name, metric),
            best,
            results.value(workload, floor.name, metric) if floor else None,
        ]
        shown = ["-" if value is None else number(value) for value in values]
        rows.append([title, f"**{shown[0]}**", *shown[1:]])
    return table(head, rows)


def _is_measured(results: Results, workload: str, metric: str) -> bool:
    return any(metric in cell.metrics for cell in results.cells.get(workload, {}).values())


def _heading(workload: str, metric: str) -> str:
    shown = METRICS[metric]
    return ", ".join(filter(None, [f"{workload} {shown.title}".strip(), shown.unit]))


def _cell(results: Results, group: Group, workload: str, contender: str, metric: str) -> str:
    cell = results.cells.get(workload, {}).get(contender)
    if cell is None:
        return ""
    if cell.failure:
        return "failed"
    if not cell.metrics:
        return "not measured"
    value = cell.metrics.get(metric)
    if value is None:
        return ""
    ours = results.value(workload, group.ours.name, metric)
    if not ours or contender == group.ours.name or not METRICS[metric].compared:
        return number(value)
    return f"{number(value)} ({number(value / ours)}x)"


def _judged(results: Results, target: Target, ours: Contender) -> str:
    judgement = judge(results, target, ours)
    if judgement is None:
        cell = results.cells.get(target.workload, {}).get(ours.name)
        return "failed" if cell and cell.failure else ""
    mark = "✅" if judgement.reached else "❌"
    if target.beside is None:
        return f"{mark} {number(judgement.value)}"
    if target.beyond:
        return f"{mark} {number(judgement.ratio)} ({number(judgement.value)})"
    return f"{mark} {number(judgement.ratio)}x ({number(judgement.value)})"


def _wanted(target: Target) -> str:
    shown = METRICS[target.metric]
    relation = "at most" if target.at_least is None else "at least"
    bound = f"{target.bound:g}"
    if target.beside is None:
        return f"{shown.title} {relation} {bound} {shown.unit}".strip()
    whose = {"floor": "the bare driver's", "ours": "its own"}.get(
        target.beside, f"that of {target.beside}"
    )
    place = f" in {target.workload_beside}" if target.workload_beside else ""
    if target.workload_beside == target.workload:
        place = ""
    if target.beyond:
        return f"{shown.title} {relation} {bound} {shown.unit} more than {whose}{place}"
    return f"{shown.title} {relation} {bound}x {whose}{place}"
