"""The same backend on a container: collected where a Docker engine answers, or is asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from resumable_stream_redis import RedisBackend
from support.containers import redis_container

if TYPE_CHECKING:
    from support.inbox import Inbox

IMAGES = os.environ.get(
    "RESUMABLE_STREAM_TEST_REDIS_IMAGES", "redis:6.2-alpine redis:7-alpine valkey/valkey:8-alpine"
).split()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("image", IMAGES)
async def test_container_serves_backend(image: str, name: str, inbox: Inbox) -> None:
    with redis_container(image) as url:
        backend = RedisBackend(url)
        await inbox.subscribe(backend, name)
        assert await backend.create(name, "1", ttl=60)
        assert await backend.compare_and_set(name, "1", "2", ttl=60)
        await backend.publish(name, b"x")
        await inbox.received(b"x")
        await backend.aclose()
