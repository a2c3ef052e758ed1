"""Compares the working tree with a commit, in about a minute; the two trees take turns."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.contenders import OURS_MEMORY, OURS_REDIS, OURS_SSE
from benchmarks.environments import ROOT
from benchmarks.metrics import METRICS
from benchmarks.results import Results
from benchmarks.runner import Runner
from benchmarks.stage import QUICK
from benchmarks.tables import number, table
from benchmarks.workloads import workloads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.brokers import Brokers
    from benchmarks.contenders import Contender
    from benchmarks.results import Record

_GROUPS = ("W1", "W1b", "W2u", "W3", "W7", "W8")
_CONTENDERS = (OURS_REDIS, OURS_MEMORY, OURS_SSE)
_SHOWN = (
    *("chunks_per_s", "deliveries_per_s", "first_ms", "caught_up_ms", "lag_ms"),
    *("cpu_us", "listener_cpu_us", "cpu_ms", "listener_cpu_ms", "import_ms"),
    *("import_cpu_ms", "server_cpu_us"),
)


async def compare(brokers: Brokers, base: str, rounds: int) -> str:
    """Return a table of both trees' results and their ratios."""
    with worktree(base) as tree:
        runner = Runner(brokers, QUICK)
        pairs = [(c, replace(c, name=f"{c.name} before")) for c in _CONTENDERS]
        for now, before in pairs:
            runner.enlist(now)
            runner.enlist(before, tree)
        chosen = [w for w in workloads(QUICK) if w.group in _GROUPS]
        for number in range(rounds):
            await runner.run(number, chosen, [one for pair in pairs for one in pair])
    return _table(runner.records, pairs)


@contextmanager
def worktree(base: str, repository: Path = ROOT) -> Iterator[Path]:
    """Check the commit out into another folder while the block runs."""
    directory = Path(tempfile.mkdtemp(prefix="resumable-stream-base-"))
    git = ("git", "-C", str(repository), "worktree")
    try:
        subprocess.run([*git, "add", "--detach", "--quiet", str(directory), base], check=True)
        yield directory
    finally:
        subprocess.run([*git, "remove", "--force", str(directory)], check=False)
        shutil.rmtree(directory, ignore_errors=True)


def _table(records: list[Record], pairs: list[tuple[Contender, Contender]]) -> str:
    results = Results.from_records({}, records)
    rows = []
    for workload, row in results.cells.items():
        for now, before in pairs:
            failed = [name for name in (now.name, before.name) if name in row and row[name].failure]
            rows += [[workload, name, "failed", "", "", str(row[name].failure)] for name in failed]
            for metric in _SHOWN:
                new = results.value(workload, now.name, metric)
                old = results.value(workload, before.name, metric)
                if new and old:
                    title = f"{METRICS[metric].title} {METRICS[metric].unit}".strip()
                    said = verdict(records, workload, metric, (now.name, before.name))
                    shown = [number(old), number(new), f"{new / old:.2f}x {said}".strip()]
                    rows.append([workload, now.name, title, *shown])
    return table(["", "", "", "before", "now", "ratio"], rows)


def verdict(records: list[Record], workload: str, metric: str, names: tuple[str, str]) -> str:
    """Return a verdict if every round of one beats every round of the other; else it is chance."""
    now, before = (
        [r.metrics[metric] for r in records if (r.workload, r.contender) == (workload, name)]
        for name in names
    )
    if min(now) > max(before):
        return "better" if METRICS[metric].more else "worse"
    if max(now) < min(before):
        return "worse" if METRICS[metric].more else "better"
    return ""
