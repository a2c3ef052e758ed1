"""What was measured: one record for each run, and the medians of the rounds."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmarks.stage import Metrics


@dataclass(frozen=True)
class Record:
    """One run of one workload by one contender."""

    workload: str
    contender: str
    round: int
    metrics: Metrics
    failure: str | None = None


@dataclass(frozen=True)
class Cell:
    """A contender's medians in a workload; no medians if it failed in any round."""

    runs: int
    metrics: Metrics
    failure: str | None = None

    @classmethod
    def of(cls, records: Iterable[Record]) -> Self:
        runs = list(records)
        failures = [record.failure for record in runs if record.failure]
        if failures:
            return cls(len(runs), {}, f"{failures[0]} ({len(failures)} of {len(runs)} runs)")
        names = dict.fromkeys(name for record in runs for name in record.metrics)
        found = {name: [r.metrics[name] for r in runs if name in r.metrics] for name in names}
        # Four digits: more would be noise, and would make every run change every line.
        return cls(len(runs), {n: float(f"{statistics.median(v):.4g}") for n, v in found.items()})


@dataclass
class Results:
    """The results by workload and contender, and the machine and versions of the run."""

    about: dict[str, str] = field(default_factory=dict)
    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)

    @classmethod
    def from_records(cls, about: dict[str, str], records: Iterable[Record]) -> Self:
        grouped: dict[str, dict[str, list[Record]]] = {}
        for record in records:
            row = grouped.setdefault(record.workload, {})
            row.setdefault(record.contender, []).append(record)
        cells = {
            workload: {contender: Cell.of(runs) for contender, runs in row.items()}
            for workload, row in grouped.items()
        }
        return cls(about, cells)

    def value(self, workload: str, contender: str, metric: str) -> float | None:
        """Return a median; None if the contender failed or did not take part."""
        cell = self.cells.get(workload, {}).get(contender)
        return cell.metrics.get(metric) if cell else None

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        content = json.loads(path.read_text(encoding="utf-8"))
        cells = {
            workload: {contender: Cell(**cell) for contender, cell in row.items()}
            for workload, row in content["cells"].items()
        }
        return cls(content["about"], cells)
