"""Which of the suite's tests the report card runs."""

from __future__ import annotations

from resumable_stream_conformance import BackendSuite
from resumable_stream_conformance._run import LAYERS


def test_every_test_belongs_to_one_layer() -> None:
    modules = [module for layer in LAYERS.values() for module in layer]
    tests = {getattr(BackendSuite, name) for name in dir(BackendSuite) if name.startswith("test_")}
    homes = {test.__module__.rpartition(".")[2] for test in tests}
    assert sorted(modules) == sorted(homes)
