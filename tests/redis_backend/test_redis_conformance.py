"""The Redis backend and journal keep the whole contract."""

from __future__ import annotations

from typing import ClassVar

import pytest

from resumable_stream_conformance import BackendSuite, Capabilities, JournalSuite
from resumable_stream_redis import RedisBackend, RedisJournal


class TestRedis(BackendSuite):
    capabilities: ClassVar = Capabilities(
        shared_between_processes=True, counts_subscribers=True, renews_many=True, journal=True
    )

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server(cls, redis_url: str) -> None:
        cls.url = redis_url

    def open(self) -> RedisBackend:
        return RedisBackend(self.url)


class TestRedisJournal(JournalSuite):
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server(cls, redis_url: str) -> None:
        cls.url = redis_url

    def open(self) -> RedisJournal:
        return RedisJournal(self.url)
