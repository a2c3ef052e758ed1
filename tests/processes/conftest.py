from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from processes.workers import Crew
from support.brokers import RedisBroker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture
def redis_broker() -> Iterator[RedisBroker]:
    """A Redis server for the tests that read the server's own statistics."""
    with RedisBroker() as broker:
        yield broker


@pytest.fixture
async def crew(tmp_path: Path) -> AsyncIterator[Crew]:
    """Starts worker processes, and ends them when the test ends."""
    crew = Crew(tmp_path)
    yield crew
    await crew.close()


@pytest.fixture
def stream() -> str:
    return f"stream {uuid4()}"
