"""The in-memory backend holds the whole contract."""

from __future__ import annotations

from resumable_stream_conformance import BackendSuite
from resumable_stream_memory import MemoryBackend


class TestMemory(BackendSuite):
    def open(self) -> MemoryBackend:
        return MemoryBackend("conformance")
