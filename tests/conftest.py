"""Which Redis-compatible server the tests talk to, and how they get one of their own.

One that only has to be there: ``RESUMABLE_STREAM_TEST_REDIS_URL``, else a container
(``--servers=docker``, or an engine answers and no binary is at hand), else the binary. One that a
test kills, freezes or configures is always the binary. A server that does not start fails the test.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
import redis

from containers import docker_answers, redis_container
from servers import ServerError, ValkeyServer, server_binary

if TYPE_CHECKING:
    from collections.abc import Iterator

# They compare on behalf of tests, and say what differs.
pytest.register_assert_rewrite("web.client", "web.drivers")

URL_VARIABLE = "RESUMABLE_STREAM_TEST_REDIS_URL"

_ran = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--servers",
        choices=("auto", "docker", "binary"),
        default="auto",
        help="where the tests take servers from: containers, binaries, or what is at hand",
    )
    parser.addoption("--long", action="store_true", help="run the tests that take long, too")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ran] = []
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Started in the background of a shell: the programs under test must not inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "long: takes long; runs only with --long")


def pytest_report_header(config: pytest.Config) -> str:
    return f"redis server: {_source(config)}"


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


def pytest_ignore_collect(collection_path: os.PathLike[str], config: pytest.Config) -> bool | None:
    # The containers' own test is not among the tests where there is no engine to run it.
    if os.fspath(collection_path).endswith("test_redis_containers.py"):
        return not (config.getoption("servers") == "docker" or docker_answers())
    return None


@pytest.fixture(scope="session")
def redis_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """The URL of a server that all tests share: use names of your own."""
    source = _source(pytestconfig)
    if source == "url":
        yield _told(pytestconfig, os.environ[URL_VARIABLE], URL_VARIABLE)
    elif source == "docker":
        with redis_container() as url:
            yield _told(pytestconfig, url, "testcontainers")
    else:
        with ValkeyServer() as server:
            yield _told(pytestconfig, server.url, str(server_binary()))


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    """A server of the test's own, to kill, freeze and restart."""
    with ValkeyServer() as server:
        yield server


def _source(config: pytest.Config) -> str:
    if os.environ.get(URL_VARIABLE):
        return "url"
    asked = config.getoption("servers")
    if asked == "docker" or (asked == "auto" and not _has_binary() and docker_answers()):
        return "docker"
    return "binary"


def _has_binary() -> bool:
    try:
        return server_binary().exists()
    except (ImportError, ServerError):
        return False


def _told(config: pytest.Config, url: str, source: str) -> str:
    """Note for the summary which server answers at the URL."""
    with redis.Redis.from_url(url, socket_timeout=10) as client:
        about = client.info("server")
    version = about.get("valkey_version") or about["redis_version"]
    name = about.get("server_name", "redis")
    config.stash[_ran].append(f"redis server: {name} {version}, from {source}")
    return url
