"""The in-memory backend and journal hold the whole contract."""

from __future__ import annotations

from typing import ClassVar

from resumable_stream_conformance import BackendSuite, Capabilities, JournalSuite
from resumable_stream_memory import MemoryBackend, MemoryJournal


class TestMemory(BackendSuite):
    capabilities: ClassVar = Capabilities(counts_subscribers=True, renews_many=True, journal=True)

    def open(self) -> MemoryBackend:
        return MemoryBackend("conformance")


class TestMemoryJournal(JournalSuite):
    def open(self) -> MemoryJournal:
        return MemoryJournal("conformance")
