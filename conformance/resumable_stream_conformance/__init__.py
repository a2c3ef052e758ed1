"""The conformance suite of resumable-stream: what a backend has to do.

Install it with ``pip install 'resumable-stream[conformance]'``. A backend's whole test file is::

    from resumable_stream_conformance import BackendSuite

    class TestMyBackend(BackendSuite):
        def open(self):
            return open_my_backend("my://localhost")

A journal by itself, such as a table in a database, is proved by a file as short::

    from resumable_stream_conformance import JournalSuite

    class TestMyJournal(JournalSuite):
        def open(self):
            return open_my_journal()

A backend that has a journal proves it with the rest, by ``Capabilities(journal=True)``.

Each test is one sentence of ``conformance/PROTOCOL.md`` and names its rules. To run the suite
without a test file: ``python -m resumable_stream_conformance my://localhost`` for an installed
backend or journal, ``python -m resumable_stream_conformance my_backend:open_it`` for what a
function opens.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resumable_stream_conformance._capabilities import Capabilities
    from resumable_stream_conformance._faults import Fault, FaultPlan
    from resumable_stream_conformance._faulty import FaultyBackend
    from resumable_stream_conformance._faulty_journal import FaultyJournal
    from resumable_stream_conformance._journal_wrapper import JournalWrapper, ObservedJournal
    from resumable_stream_conformance._laws import BackendSuite, JournalSuite
    from resumable_stream_conformance._suite import rule
    from resumable_stream_conformance._wrapper import BackendWrapper, ObservedBackend

__all__ = [
    "BackendSuite",
    "BackendWrapper",
    "Capabilities",
    "Fault",
    "FaultPlan",
    "FaultyBackend",
    "FaultyJournal",
    "JournalSuite",
    "JournalWrapper",
    "ObservedBackend",
    "ObservedJournal",
    "rule",
]

_HOMES = {
    "BackendSuite": "_laws",
    "BackendWrapper": "_wrapper",
    "Capabilities": "_capabilities",
    "Fault": "_faults",
    "FaultPlan": "_faults",
    "FaultyBackend": "_faulty",
    "FaultyJournal": "_faulty_journal",
    "JournalSuite": "_laws",
    "JournalWrapper": "_journal_wrapper",
    "ObservedBackend": "_wrapper",
    "ObservedJournal": "_journal_wrapper",
    "rule": "_suite",
}


def __getattr__(name: str) -> object:
    # Loaded at first use: `python -m` imports this package before pytest can rewrite the
    # assertions in the modules with the tests.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
