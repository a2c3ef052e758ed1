"""Running the suite on a URL through pytest, in this process, whatever else is installed."""

from __future__ import annotations

import os
import tempfile
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream_conformance._report import Outcome, Report
from resumable_stream_conformance._suite import rules_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from resumable_stream_conformance._capabilities import Capabilities
    from resumable_stream_conformance._report import Kind

LAYERS = {
    "ports": (
        *("_kv_laws", "_ttl_laws", "_renewal_laws", "_pubsub_laws", "_subscription_laws"),
        "_count_laws",
        "_lifecycle_laws",
    ),
    "protocol": (
        *("_protocol_laws", "_ending_laws", "_grace_laws", "_producer_laws"),
        *("_economy_laws", "_replay_laws", "_death_laws"),
    ),
    "faults": ("_fault_laws",),
    "journal": (
        *("_journal_laws", "_journal_read_laws", "_journal_name_laws", "_journal_life_laws"),
        *("_journal_time_laws", "_journal_backend_laws"),
    ),
}
# What is run on a journal by itself.
JOURNAL_LAYERS = ("journal",)

REASON_LENGTH = 240


@dataclass(frozen=True)
class Target:
    """What to run the suite against."""

    url: str
    kind: Kind
    capabilities: Capabilities


_target: ContextVar[Target] = ContextVar("target")


def target() -> Target:
    """Return what the running command was told to test."""
    return _target.get()


def run_suite(
    url: str,
    capabilities: Capabilities,
    *,
    kind: Kind,
    layers: tuple[str, ...],
    only: str | None = None,
    progress: Callable[[Outcome], None] = lambda _outcome: None,
) -> Report:
    """Run the tests of the layers that ``only`` selects (pytest's ``-k``), or all of them."""
    gatherer = _Gatherer(layers, progress)
    _target.set(Target(url, kind, capabilities))
    # Plugins, options and settings of the user, or of a project in the working directory, are left
    # out, so that the same backend gets the same report everywhere.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for variable in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(variable, None)
    with tempfile.TemporaryDirectory() as root:
        settings = Path(root, "pytest.ini")
        settings.write_text("[pytest]\n", "utf-8")
        code = pytest.main(
            [
                *(f"-c{settings}", f"--rootdir={root}", "--noconftest", "--import-mode=importlib"),
                *("-p", "pytest_asyncio.plugin", "-p", "no:cacheprovider", "-p", "no:terminal"),
                *("--asyncio-mode=strict", "-o", "asyncio_default_fixture_loop_scope=function"),
                *(("-k", only) if only else ()),
                str(Path(__file__).with_name("_target.py")),
            ],
            plugins=[gatherer],
        )
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        gatherer.errors.append(f"pytest ended with {pytest.ExitCode(code).name}")
    complete = set(layers) == set(layers_of(kind)) and not only
    return Report(url, kind, capabilities, gatherer.outcomes, gatherer.errors, complete=complete)


def layers_of(kind: Kind) -> tuple[str, ...]:
    return JOURNAL_LAYERS if kind == "journal" else tuple(LAYERS)


class _Gatherer:
    """A pytest plugin that records how each test went."""

    def __init__(self, layers: tuple[str, ...], progress: Callable[[Outcome], None]) -> None:
        self.outcomes: list[Outcome] = []
        self.errors: list[str] = []
        self._modules = {f"{__package__}.{module}" for layer in layers for module in LAYERS[layer]}
        self._progress = progress
        self._tests: dict[str, Any] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = {item.nodeid: item.function for item in items if isinstance(item, pytest.Function)}
        self._tests = {
            node: test for node, test in chosen.items() if test.__module__ in self._modules
        }
        items[:] = [item for item in items if item.nodeid in self._tests]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(_last_line(report.longreprtext))

    def pytest_internalerror(self, excrepr: object) -> None:
        self.errors.append(_last_line(str(excrepr)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        test = self._tests[report.nodeid]
        sentence = " ".join((test.__doc__ or "").partition("\n\n")[0].split())
        outcome = Outcome(test.__name__, sentence, rules_of(test), report.outcome, _reason(report))
        self.outcomes.append(outcome)
        self._progress(outcome)


def _reason(report: pytest.TestReport) -> str:
    if report.passed:
        return ""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message if crash is not None else report.longreprtext)
    first = next((line for line in text.splitlines() if line.strip()), "failed without a message")
    return first if len(first) <= REASON_LENGTH else first[:REASON_LENGTH] + " ..."


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "unknown error")
