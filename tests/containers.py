"""The test servers as containers, for ``--servers=docker``."""

from __future__ import annotations

import gc
import importlib
import os
import warnings
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

REDIS_IMAGE = os.environ.get("RESUMABLE_STREAM_TEST_REDIS_IMAGE", "redis:7-alpine")
NATS_IMAGE = os.environ.get("RESUMABLE_STREAM_TEST_NATS_IMAGE", "nats:2.11-alpine")


@cache
def docker_answers() -> bool:
    """Tell whether there is an engine, looked for where testcontainers looks for it."""
    docker = importlib.import_module("docker")  # costs more than all of the project's own imports
    core = importlib.import_module("testcontainers.core.docker_client")
    with warnings.catch_warnings():
        # docker leaves its socket open where nobody answers.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            core.DockerClient().client.ping()
        except docker.errors.DockerException:
            return False
        finally:
            gc.collect()
    return True


@contextmanager
def redis_container(image: str = REDIS_IMAGE) -> Iterator[str]:
    """Run the image and yield its URL; whatever ``TESTCONTAINERS_*`` is set to applies."""
    from testcontainers.community.redis import RedisContainer  # noqa: PLC0415 - as above

    with RedisContainer(image) as container:
        host = container.get_container_host_ip()
        yield f"redis://{host}:{container.get_exposed_port(container.port)}/0"


@contextmanager
def nats_container(image: str = NATS_IMAGE) -> Iterator[str]:
    """Run the image with JetStream and yield its URL."""
    from testcontainers.community.nats import NatsContainer  # noqa: PLC0415 - as above

    with NatsContainer(image, jetstream=True) as container:
        yield container.nats_uri()
