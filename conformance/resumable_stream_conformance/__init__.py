"""The conformance suite of resumable-stream: what a backend has to do.

Install it with ``pip install 'resumable-stream[conformance]'``. A backend's whole test file is::

    from resumable_stream_conformance import BackendSuite

    class TestMyBackend(BackendSuite):
        def open(self):
            return open_my_backend("my://localhost")

Each test is one sentence of ``conformance/PROTOCOL.md`` and names its rules. To run the suite
without a test file: ``python -m resumable_stream_conformance my://localhost`` for an installed
backend, ``python -m resumable_stream_conformance my_backend:open_it`` for what a function opens.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resumable_stream_conformance._capabilities import Capabilities
    from resumable_stream_conformance._faulty import Fault, FaultPlan, FaultyBackend
    from resumable_stream_conformance._laws import BackendSuite
    from resumable_stream_conformance._suite import rule
    from resumable_stream_conformance._wrapper import BackendWrapper, ObservedBackend

__all__ = [
    "BackendSuite",
    "BackendWrapper",
    "Capabilities",
    "Fault",
    "FaultPlan",
    "FaultyBackend",
    "ObservedBackend",
    "rule",
]

_HOMES = {
    "BackendSuite": "_laws",
    "BackendWrapper": "_wrapper",
    "Capabilities": "_capabilities",
    "Fault": "_faulty",
    "FaultPlan": "_faulty",
    "FaultyBackend": "_faulty",
    "ObservedBackend": "_wrapper",
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
