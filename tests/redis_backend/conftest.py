from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resumable_stream_redis import RedisBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.servers import ValkeyServer


@pytest.fixture
async def backend(redis_url: str) -> AsyncIterator[RedisBackend]:
    """A backend on the shared server."""
    backend = RedisBackend(redis_url)
    yield backend
    await backend.aclose()


@pytest.fixture
async def own(valkey: ValkeyServer) -> AsyncIterator[RedisBackend]:
    """A backend on the test's own server, with a short time-out."""
    backend = RedisBackend(valkey.url, timeout=1.5)
    yield backend
    await backend.aclose()
