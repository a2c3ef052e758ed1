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
    """Tell whether a Docker engine answers where testcontainers looks for it."""
    docker = importlib.import_module("docker")  # costs more than all of the project's own imports
    core = importlib.import_module("testcontainers.core.docker_client")
    with _leaking():
        try:
            core.DockerClient().client.ping()
        except docker.errors.DockerException:
            return False
    return True


@contextmanager
def redis_container(image: str = REDIS_IMAGE) -> Iterator[str]:
    """Run the image and yield its URL; the ``TESTCONTAINERS_*`` variables apply."""
    with _running(image, 6379, "Ready to accept connections") as place:
        yield f"redis://{place}/0"


@contextmanager
def nats_container(image: str = NATS_IMAGE) -> Iterator[str]:
    """Run the image with JetStream and yield its URL."""
    with _running(image, 4222, "Server is ready", "-js") as place:
        yield f"nats://{place}"


@contextmanager
def _running(image: str, port: int, message: str, *command: str) -> Iterator[str]:
    """Run the image, wait for the message in its log, and yield its host and port.

    The classes that testcontainers has for both servers are not used: they call functions that it
    deprecates itself, and here warnings are errors.
    """
    core = importlib.import_module("testcontainers.core.container")
    strategies = importlib.import_module("testcontainers.core.wait_strategies")
    with _leaking():
        container = core.DockerContainer(image).with_exposed_ports(port)
        if command:
            container.with_command(list(command))
        container.waiting_for(strategies.LogMessageWaitStrategy(message)).__enter__()
    try:
        yield f"{container.get_container_host_ip()}:{container.get_exposed_port(port)}"
    finally:
        with _leaking():
            container.stop()


@contextmanager
def _leaking() -> Iterator[None]:
    """Allow docker to leave sockets open, and let the garbage collector close them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            yield
        finally:
            gc.collect()
