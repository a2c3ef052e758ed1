"""The in-memory backend holds the whole contract."""

from __future__ import annotations

from typing import ClassVar

from resumable_stream_conformance import BackendSuite, Capabilities
from resumable_stream_memory import MemoryBackend


class TestMemory(BackendSuite):
    capabilities: ClassVar = Capabilities(counts_subscribers=True, renews_many=True)

    def open(self) -> MemoryBackend:
        return MemoryBackend("conformance")
