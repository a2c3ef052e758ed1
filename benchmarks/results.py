"""What was measured: one record for each run, and medians over the rounds."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.stage import Metrics


@dataclass(frozen=True)
class Record:
    workload: str
    contender: str
    round: int
    metrics: Metrics
    failure: str | None = None


@dataclass
class Results:
    """All records of one run.

    Attributes:
        about: where and with what it ran.
    """

    about: dict[str, str] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)

    def of(self, workload: str, contender: str) -> list[Record]:
        return [r for r in self.records if (r.workload, r.contender) == (workload, contender)]

    def median(self, workload: str, contender: str, metric: str) -> float | None:
        """Return the median over the rounds; None if it failed in any, or was not run."""
        records = self.of(workload, contender)
        if not records or any(record.failure for record in records):
            return None
        values = [r.metrics[metric] for r in records if metric in r.metrics]
        return statistics.median(values) if values else None

    def failure(self, workload: str, contender: str) -> str | None:
        return next((r.failure for r in self.of(workload, contender) if r.failure), None)

    def workloads(self) -> list[str]:
        return list(dict.fromkeys(record.workload for record in self.records))

    def contenders(self, workload: str) -> list[str]:
        found = (r.contender for r in self.records if r.workload == workload)
        return list(dict.fromkeys(found))

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"about": self.about, "records": [asdict(record) for record in self.records]}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(content["about"], [Record(**record) for record in content["records"]])
