"""The backends on containers: collected if a Docker engine answers, or is asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from resumable_stream import find_opener
from support.calls import use
from support.containers import nats_container, redis_container

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

REDIS_IMAGES = os.environ.get(
    "RESUMABLE_STREAM_TEST_REDIS_IMAGES", "redis:6.2-alpine redis:7-alpine valkey/valkey:8-alpine"
).split()
NATS_IMAGES = os.environ.get(
    "RESUMABLE_STREAM_TEST_NATS_IMAGES", "nats:2.11-alpine nats:2.12-alpine"
).split()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("container", "image"),
    [
        *((redis_container, image) for image in REDIS_IMAGES),
        *((nats_container, image) for image in NATS_IMAGES),
    ],
)
async def test_container_serves_backend(
    container: Callable[[str], AbstractContextManager[str]], image: str, name: str
) -> None:
    with container(image) as url:
        backend = find_opener(url)(url)
        await use(backend, name)
        await backend.aclose()
