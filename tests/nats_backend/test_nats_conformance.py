"""The NATS backend and its journal keep the whole contract."""

from __future__ import annotations

from typing import ClassVar

import pytest

from resumable_stream_conformance import BackendSuite, Capabilities, JournalSuite
from resumable_stream_nats import NatsBackend, NatsJournal


class TestNats(BackendSuite):
    capabilities: ClassVar = Capabilities(
        shared_between_processes=True, renews_many=True, journal=True
    )

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server(cls, nats_url: str) -> None:
        cls.url = nats_url

    def open(self) -> NatsBackend:
        return NatsBackend(self.url)


class TestNatsJournal(JournalSuite):
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server(cls, nats_url: str) -> None:
        cls.url = nats_url

    def open(self) -> NatsJournal:
        return NatsJournal(self.url)
