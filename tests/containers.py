"""The test servers as containers, for ``--servers=docker``."""

from __future__ import annotations

import importlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

REDIS_IMAGE = os.environ.get("RESUMABLE_STREAM_TEST_REDIS_IMAGE", "redis:7-alpine")


def docker_answers() -> bool:
    docker = importlib.import_module("docker")  # costs more than all of the project's own imports
    try:
        client = docker.from_env(timeout=5)
        client.close()
    except docker.errors.DockerException:
        return False
    return True


@contextmanager
def redis_container(image: str = REDIS_IMAGE) -> Iterator[str]:
    """Run the image and yield its URL; whatever ``TESTCONTAINERS_*`` is set to applies."""
    from testcontainers.community.redis import RedisContainer  # noqa: PLC0415 - as above

    with RedisContainer(image) as container:
        host = container.get_container_host_ip()
        yield f"redis://{host}:{container.get_exposed_port(container.port)}/0"
