"""Which servers the tests use: one of each kind that all share, and servers of a test's own.

The shared server is that of ``RESUMABLE_STREAM_TEST_REDIS_URL`` or ``..._NATS_URL``, else a
container (with ``--servers=docker``, or if a Docker engine answers and no binary is installed),
else the binary. A server that a test kills, freezes or configures is always the binary. A test
whose server does not start fails.
"""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import nats
import pytest
import redis

from support import selection
from support.brokers import BROKERS
from support.containers import docker_answers, nats_container, redis_container
from support.inbox import Inbox
from support.nats_servers import NatsServer, nats_binary
from support.servers import ServerError, ValkeyServer, server_binary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from support.brokers import Broker

# These modules compare on behalf of tests: rewritten assertions show what differs.
pytest.register_assert_rewrite("support.calls", "web.carried_on", "web.client", "web.drivers")

_ran = pytest.StashKey[list[str]]()


@dataclass(frozen=True)
class Kind:
    """A kind of server, and the sources of the one that all tests share."""

    name: str
    variable: str
    container: Callable[[], AbstractContextManager[str]]
    binary: Callable[[], Path]
    server: Callable[[], AbstractContextManager[Any]]
    about: Callable[[str], str]

    def source(self, config: pytest.Config) -> str:
        if os.environ.get(self.variable):
            return self.variable
        asked = config.getoption("servers")
        if asked == "docker" or (asked == "auto" and not self._has_binary() and docker_answers()):
            return "testcontainers"
        return "binary"

    def run(self, config: pytest.Config) -> Iterator[str]:
        """Yield the URL of a server, and note for the summary which one answers there."""
        source = self.source(config)
        if source == self.variable:
            yield self._told(config, os.environ[self.variable], source)
        elif source == "testcontainers":
            with self.container() as url:
                yield self._told(config, url, source)
        else:
            with self.server() as server:
                yield self._told(config, server.url, str(self.binary()))

    def _told(self, config: pytest.Config, url: str, source: str) -> str:
        config.stash[_ran].append(f"{self.name} server: {self.about(url)}, from {source}")
        return url

    def _has_binary(self) -> bool:
        try:
            return self.binary().exists()
        except (ImportError, ServerError):
            return False


def _about_redis(url: str) -> str:
    with redis.Redis.from_url(url, socket_timeout=10) as client:
        about = client.info("server")
    version = about.get("valkey_version") or about["redis_version"]
    return f"{about.get('server_name', 'redis')} {version}"


def _about_nats(url: str) -> str:
    async def ask() -> str:
        client = await nats.connect(url.partition("?")[0].split(","))
        version = client.connected_server_version
        await client.close()
        return f"nats-server {version.major}.{version.minor}.{version.patch}"

    return asyncio.run(ask())


REDIS = Kind(
    "redis",
    "RESUMABLE_STREAM_TEST_REDIS_URL",
    redis_container,
    server_binary,
    ValkeyServer,
    _about_redis,
)
NATS = Kind(
    "nats",
    "RESUMABLE_STREAM_TEST_NATS_URL",
    nats_container,
    nats_binary,
    NatsServer,
    _about_nats,
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--servers",
        choices=("auto", "docker", "binary"),
        default="auto",
        help="where the tests take servers from: containers, binaries, or what is at hand",
    )
    parser.addoption("--long", action="store_true", help="run the tests that take long, too")
    selection.add_option(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ran] = []
    # In the background or under nohup these signals are ignored: programs must not inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    config.addinivalue_line("markers", "long: takes long; runs only with --long")


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [f"{kind.name} server: {kind.source(config)}" for kind in (REDIS, NATS)]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for line in config.stash[_ran]:
        terminalreporter.write_line(line)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("long"):
        long = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)
    selection.deselect_others(config, items)


def pytest_ignore_collect(collection_path: os.PathLike[str], config: pytest.Config) -> bool | None:
    # The containers' own tests are collected only where a Docker engine is asked for or answers.
    if os.fspath(collection_path).endswith("_containers.py"):
        return not (config.getoption("servers") == "docker" or docker_answers())
    return None


@pytest.fixture(scope="session")
def redis_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """The URL of a Redis server that all tests share: use names of your own."""
    yield from REDIS.run(pytestconfig)


@pytest.fixture(scope="session")
def nats_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """The URL of a NATS server that all tests share: use names of your own."""
    yield from NATS.run(pytestconfig)


@pytest.fixture
def name() -> str:
    """A key or channel that no other test uses."""
    return f"test:{uuid4()}"


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A server of the test's own, of each kind, to kill, freeze and restart."""
    with BROKERS[request.param]() as broker:
        yield broker


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    """A server of the test's own, to kill, freeze and restart."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def nats_server() -> Iterator[NatsServer]:
    """A server of the test's own, to kill, freeze and restart."""
    with NatsServer() as server:
        yield server
