"""The report: how a backend or a journal did, by rule and promise."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from resumable_stream._registry import without_secrets
from resumable_stream_conformance._rules import RULES

if TYPE_CHECKING:
    from resumable_stream_conformance._capabilities import Capabilities

Kind = Literal["backend", "journal"]

TITLE_WIDTH = 34
SHOWN = {"passed": "passed", "failed": "FAILED", "skipped": "skipped"}


@dataclass(frozen=True)
class Outcome:
    """How one test went."""

    test: str
    sentence: str
    rules: tuple[str, ...]
    status: Literal["passed", "failed", "skipped"]
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """How all tests went.

    Attributes:
        kind: what was opened; a journal by itself declares no capabilities.
        complete: whether every test of the suite was requested.
    """

    url: str
    kind: Kind
    capabilities: Capabilities
    outcomes: list[Outcome]
    errors: list[str]
    complete: bool

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == "failed"]

    @property
    def skipped(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == "skipped"]

    @property
    def sound(self) -> bool:
        """Whether some tests passed, and nothing failed."""
        ran = any(outcome.status == "passed" for outcome in self.outcomes)
        return ran and not (self.failed or self.errors or self.capabilities.missing_base)

    @property
    def conforms(self) -> bool:
        return self.sound and self.complete

    def by_rule(self) -> dict[str, Counter[str]]:
        """Count the outcomes of each rule that a test names, in the order of the specification."""
        counts: dict[str, Counter[str]] = {}
        for outcome in self.outcomes:
            for rule in outcome.rules:
                counts.setdefault(rule, Counter())[outcome.status] += 1
        known = [rule for rule in RULES if rule in counts]
        return {rule: counts[rule] for rule in (*known, *sorted(counts.keys() - RULES.keys()))}

    @property
    def verdict(self) -> str:
        tally = Counter(outcome.status for outcome in self.outcomes)
        numbers = ", ".join(f"{tally[status]} {status}" for status in tally) or "no test ran"
        if self.conforms:
            return f"conforms: {numbers}"
        if self.sound:
            return f"passes what was run, which is not the whole suite: {numbers}"
        return f"DOES NOT CONFORM: {numbers}"

    def as_text(self) -> str:
        noun = "the journal " if self.kind == "journal" else ""
        lines = [f"Conformance of {noun}{without_secrets(self.url)}", ""]
        for rule, counts in self.by_rule().items():
            title = f"{rule:<5}{RULES.get(rule, '')} "
            numbers = ", ".join(
                f"{counts[status]} {shown}" for status, shown in SHOWN.items() if counts[status]
            )
            lines.append(f"  {title:.<{TITLE_WIDTH}} {numbers}")
        for outcome in self.failed:
            lines += ["", f"FAILED {outcome.test} [{', '.join(outcome.rules)}]"]
            lines += [f"  {outcome.sentence}", f"  {outcome.reason}"]
        if self.skipped:
            reasons = Counter(outcome.reason for outcome in self.skipped)
            lines += ["", *(f"skipped {count}: {reason}" for reason, count in reasons.items())]
        lines += ["", *(f"error: {error}" for error in self.errors), self.verdict]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        return {
            "url": without_secrets(self.url),
            "kind": self.kind,
            "conforms": self.conforms,
            "complete": self.complete,
            "verdict": self.verdict,
            "capabilities": {} if self.kind == "journal" else asdict(self.capabilities),
            "missing_base_capabilities": list(self.capabilities.missing_base),
            "rules": [
                {
                    "rule": rule,
                    "title": RULES.get(rule, ""),
                    **{status: counts[status] for status in ("passed", "failed", "skipped")},
                }
                for rule, counts in self.by_rule().items()
            ],
            "tests": [asdict(outcome) for outcome in self.outcomes],
            "errors": self.errors,
        }
