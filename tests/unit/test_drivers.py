"""A client library that its backend was not written for is refused when the backend opens."""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio as aioredis
from redis.asyncio.sentinel import Sentinel

from driver_versions import DRIVERS, ROOT, allowed
from resumable_stream import UnsupportedDriverError, create_resumable_stream_context
from resumable_stream_nats import NatsBackend
from resumable_stream_nats import _driver as nats_driver
from resumable_stream_nats import _versions as nats_versions
from resumable_stream_redis import RedisBackend
from resumable_stream_redis import _driver as redis_driver
from resumable_stream_redis import _versions as redis_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TESTED = {str(one.package): one for one in (*redis_versions.TESTED, *nats_versions.TESTED)}
URLS = {"redis": "redis://h", "hiredis": "redis://h", "nats-py": "nats://h"}
make_sentinel: Any = Sentinel


@pytest.fixture(autouse=True)
def unchecked() -> Iterator[None]:
    """Clear the cached check of the drivers, before and after the test."""
    for driver in (redis_driver, nats_driver):
        driver.check.cache_clear()
    yield
    for driver in (redis_driver, nats_driver):
        driver.check.cache_clear()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Package versions that are pretended to be installed; an empty one means: not installed."""
    pretended: dict[str, str] = {}
    real = importlib.metadata.version

    def version(package: str) -> str:
        found = pretended.get(package, real(package))
        if not found:
            raise importlib.metadata.PackageNotFoundError
        return found

    monkeypatch.setattr(importlib.metadata, "version", version)
    return pretended


def opened(package: str) -> object:
    return NatsBackend("nats://h") if package == "nats-py" else RedisBackend("redis://h")


def open_context(package: str) -> object:
    return create_resumable_stream_context(URLS[package])


@pytest.mark.parametrize("package", DRIVERS)
def test_older_driver_is_refused(installed: dict[str, str], package: str) -> None:
    installed[package] = "1.9.17"
    ways: list[Callable[[str], object]] = [opened, open_context]
    for open_it in ways:
        with pytest.raises(UnsupportedDriverError) as caught:
            open_it(package)
        told = str(caught.value)
        assert f"{package} 1.9.17" in told
        assert f"{package} is too old" in told
        assert "pip install" in told
        assert f"'{TESTED[package]}'" in told


@pytest.mark.parametrize("package", DRIVERS)
def test_newer_driver_is_used_with_one_warning(
    installed: dict[str, str], caplog: pytest.LogCaptureFixture, package: str
) -> None:
    installed[package] = f"{TESTED[package].above}b1"
    for _ in range(2):
        opened(package)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.name == "resumable_stream"
    assert f"{package} {TESTED[package].above}b1 is newer" in record.getMessage()
    assert str(TESTED[package]) in record.getMessage()


@pytest.mark.parametrize("package", DRIVERS)
def test_driver_of_an_unknown_version_is_judged_by_its_inside(
    installed: dict[str, str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
) -> None:
    installed[package] = ""
    opened(package)
    assert not caplog.records
    for driver in (redis_driver, nats_driver):
        driver.check.cache_clear()
        monkeypatch.setattr(driver, "_missing", lambda: ["anything"])
    with pytest.raises(UnsupportedDriverError, match=rf"anything.*{package} \?"):
        opened(package)


@pytest.mark.parametrize("package", DRIVERS)
def test_bounds_say_what_was_tested(package: str) -> None:
    assert set(TESTED) == set(DRIVERS)
    (requirement,) = (one for one in allowed() if one.name == package)
    tested = TESTED[package]
    assert str(requirement.specifier) == f"<{tested.above},>={tested.lowest}"
    pins = (ROOT / "requirements-dev.txt").read_text("utf-8").splitlines()
    (pin,) = (line.partition("==")[2] for line in pins if line.startswith(f"{package}=="))
    assert requirement.specifier.contains(pin)


def without(kind: Any, name: str) -> Callable[..., object]:
    """Return a stand-in for a class; its objects lack the attribute."""

    def made(*args: Any, **kwargs: Any) -> object:
        made_as_ever = kind(*args, **kwargs)
        return Hidden(made_as_ever, name)

    return made


class Hidden:
    def __init__(self, shown: object, name: str) -> None:
        self._shown = shown
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            raise AttributeError(name)
        return getattr(self._shown, name)


@pytest.mark.parametrize(
    ("driver", "kind", "names"),
    [
        (redis_driver, "TcpConnection", redis_driver.CONNECTION_NAMES),
        (redis_driver, "ConnectionPool", redis_driver.POOL_NAMES),
        (nats_driver, "Client", nats_driver.CLIENT_NAMES),
        (nats_driver, "Subscription", nats_driver.SUBSCRIPTION_NAMES),
        (nats_driver, "TcpTransport", nats_driver.WRITERS),
    ],
)
def test_missing_names_are_told(
    monkeypatch: pytest.MonkeyPatch, driver: Any, kind: str, names: tuple[str, ...]
) -> None:
    url = URLS["redis" if driver is redis_driver else "nats-py"]
    real = getattr(driver, kind)
    for name in names:
        monkeypatch.setattr(driver, kind, without(real, name))
        with pytest.raises(UnsupportedDriverError, match=rf"\b\w+\.{name}\b.*pip install"):
            create_resumable_stream_context(url)


def test_all_missing_names_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare:
        async def disconnect(self, *, nowait: bool) -> None: ...

    monkeypatch.setattr(redis_driver, "TcpConnection", Bare)
    with pytest.raises(UnsupportedDriverError, match=r"_reader.*_writer"):
        RedisBackend("redis://h")


def test_driver_that_cannot_be_looked_into_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(*, renamed: object) -> None: ...

    for driver, name, backend in (
        (redis_driver, "Reader", lambda: RedisBackend("redis://h")),
        (redis_driver, "TcpConnection", lambda: RedisBackend("redis://h")),
        (nats_driver, "Client", lambda: NatsBackend("nats://h")),
    ):
        monkeypatch.setattr(driver, name, changed)
        with pytest.raises(UnsupportedDriverError, match=r"not as expected") as caught:
            backend()
        assert isinstance(caught.value.__cause__, TypeError)
        monkeypatch.undo()


@pytest.mark.parametrize("name", redis_driver.SENTINEL_NAMES)
def test_sentinel_of_another_kind_is_refused(name: str) -> None:
    client = make_sentinel([("h", 1)]).master_for("service")
    RedisBackend(client=client)
    delattr_of_object(client.connection_pool.sentinel_manager, name)
    with pytest.raises(UnsupportedDriverError, match=rf"Sentinel\.{name}\b"):
        RedisBackend(client=client)


@pytest.mark.parametrize("name", redis_driver.SENTINEL_POOL_NAMES)
def test_sentinel_pool_of_another_kind_is_refused(name: str) -> None:
    client = make_sentinel([("h", 1)]).master_for("service")
    delattr_of_object(client.connection_pool, name)
    with pytest.raises(UnsupportedDriverError, match=rf"SentinelConnectionPool\.{name}\b"):
        RedisBackend(client=client)


async def test_cluster_of_another_kind_is_refused() -> None:
    for name in redis_driver.CLUSTER_NAMES:
        client: Any = aioredis.RedisCluster(host="127.0.0.1")
        RedisBackend(client=client)
        delattr(client, name)
        with pytest.raises(UnsupportedDriverError, match=rf"RedisCluster\.{name}\b"):
            RedisBackend(client=client)
    client = aioredis.RedisCluster(host="127.0.0.1")
    client.nodes_manager = object()
    with pytest.raises(UnsupportedDriverError, match=r"initialize.*remap_host_port"):
        RedisBackend(client=client)


def delattr_of_object(thing: Any, name: str) -> None:
    del thing.__dict__[name]


def forget(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Make the next import load the package again; the old modules return after the test."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize(
    ("package", "module", "name"),
    [
        ("resumable_stream_redis", "redis.exceptions", "OutOfMemoryError"),
        ("resumable_stream_redis", "redis.asyncio.connection", "DefaultParser"),
        ("resumable_stream_nats", "nats.errors", "SecureConnWantedError"),
    ],
)
def test_driver_that_cannot_be_imported_from_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    installed: dict[str, str],
    package: str,
    module: str,
    name: str,
) -> None:
    forget(monkeypatch, package)
    monkeypatch.delattr(f"{module}.{name}")
    with pytest.raises(UnsupportedDriverError, match=rf"{name}.*pip install"):
        importlib.import_module(package)
    # If the driver is not installed at all, its own import error is raised.
    installed.update(dict.fromkeys(DRIVERS, ""))
    with pytest.raises((ImportError, AttributeError), match=name):
        importlib.import_module(package)
