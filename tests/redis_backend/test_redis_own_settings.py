"""The backend's own connections are made with the right settings of the user's client or URL."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio as aioredis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import Sentinel

from resumable_stream.errors import InvalidSettingError
from resumable_stream_redis import RedisBackend
from resumable_stream_redis._settings import LEFT_OUT, OURS, PASSED_ON, own_settings

if TYPE_CHECKING:
    from support.servers import ValkeyServer

make_sentinel: Any = Sentinel


class Newer(Connection):
    """Stands for a class of a later redis-py, which has one more setting."""

    __module__ = "redis.asyncio.connection"

    def __init__(self, *, tunnel: str = "none", **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Tunnelled(Connection):
    """A class of the user's own, with a setting of its own."""

    def __init__(self, *, tunnel: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.client_name = tunnel


def parameters_of(kind: type) -> set[str]:
    """The settings that a class takes, including those that it passes to its base class."""
    parameters = inspect.signature(kind).parameters
    own = {name for name, one in parameters.items() if one.kind is not one.VAR_KEYWORD}
    return own if own == parameters.keys() else own | parameters_of(kind.__mro__[1])


@pytest.mark.parametrize("kind", [Connection, SSLConnection, UnixDomainSocketConnection])
def test_every_setting_of_redis_py_is_known(kind: type) -> None:
    assert parameters_of(kind) - PASSED_ON - LEFT_OUT - OURS.keys() == set()


def test_no_setting_is_judged_twice() -> None:
    assert not PASSED_ON & LEFT_OUT
    assert not (PASSED_ON | LEFT_OUT) & OURS.keys()


async def test_connections_are_made_as_the_client_makes_them(
    valkey: ValkeyServer, name: str
) -> None:
    with valkey.client() as admin:
        admin.acl_setuser(
            "someone", enabled=True, passwords=["+secret"], categories=["+@all"], keys=["*"]
        )
        client = aioredis.Redis(
            port=valkey.port,
            db=3,
            username="someone",
            password="secret",  # noqa: S106 - of this test's server
            client_name="mine",
        )
        backend = RedisBackend(client=client)
        await backend.set(name, "v", ttl=60)
        (ours,) = (one for one in admin.client_list() if one["name"] == "mine")
        assert (ours["db"], ours["user"]) == ("3", "someone")
    await backend.aclose()


async def test_what_only_pools_and_clients_need_is_left_out(
    valkey: ValkeyServer, name: str
) -> None:
    client = aioredis.Redis(
        connection_pool=aioredis.BlockingConnectionPool.from_url(
            f"{valkey.url}?max_connections=1&timeout=1&health_check_interval=1&retry_on_timeout=1",
            protocol=3,
            encoding="latin-1",
            encoding_errors="ignore",
            decode_responses=True,
        )
    )
    backend = RedisBackend(client=client)
    await backend.set(name, "ä", ttl=60)
    assert await backend.get(name) == "ä"
    await backend.aclose()


def test_only_what_is_known_to_be_harmless_is_left_out() -> None:
    theirs = {**dict.fromkeys(PASSED_ON, "passed"), **dict.fromkeys(LEFT_OUT | OURS.keys(), "not")}
    ours = own_settings(Connection, theirs)
    assert {name for name, value in ours.items() if value == "passed"} == PASSED_ON
    assert "not" not in ours.values()
    assert ours.items() >= OURS.items()


def test_pool_settings_of_a_url_are_left_out() -> None:
    RedisBackend("redis://h?timeout=3&max_connections=7&retry_on_timeout=yes")


@pytest.mark.parametrize("url", ["redis://h?tunnel=secret", "unix:///s?tunnel=secret"])
def test_unknown_setting_of_a_url_is_named(url: str) -> None:
    with pytest.raises(InvalidSettingError, match=r"tunnel.*Make it without") as caught:
        RedisBackend(url)
    assert "secret" not in str(caught.value)


def plain(**settings: Any) -> aioredis.Redis:
    return aioredis.Redis(connection_pool=aioredis.ConnectionPool(**settings))


def primary(**settings: Any) -> aioredis.Redis:
    found: aioredis.Redis = make_sentinel([("h", 1)]).master_for("service", **settings)
    return found


def cluster(**settings: Any) -> aioredis.RedisCluster:
    client = aioredis.RedisCluster(host="127.0.0.1")
    client.connection_kwargs.update(settings)
    return client


@pytest.mark.parametrize("make", [plain, primary, cluster])
async def test_unknown_setting_of_a_client_is_named(make: Any) -> None:
    with pytest.raises(InvalidSettingError, match=r"tunnel.*Make it without") as caught:
        RedisBackend(client=make(tunnel="secret"))
    assert "secret" not in str(caught.value)


def test_unknown_setting_counts_unless_it_is_at_its_default() -> None:
    RedisBackend(client=plain(connection_class=Newer, tunnel="none"))
    with pytest.raises(InvalidSettingError, match="tunnel"):
        RedisBackend(client=plain(connection_class=Newer, tunnel="some"))


async def test_class_of_the_users_own_gets_its_own_setting(valkey: ValkeyServer, name: str) -> None:
    client = plain(connection_class=Tunnelled, port=valkey.port, tunnel="dug")
    backend = RedisBackend(client=client)
    await backend.set(name, "v", ttl=60)
    with valkey.client() as admin:
        assert "dug" in {one["name"] for one in admin.client_list()}
    await backend.aclose()


def test_client_that_reads_from_replicas_is_refused() -> None:
    client = make_sentinel([("h", 1)]).slave_for("service")
    with pytest.raises(InvalidSettingError, match=r"reads from replicas.*master_for"):
        RedisBackend(client=client)
