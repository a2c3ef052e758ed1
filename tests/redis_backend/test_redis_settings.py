"""The arguments of a backend: a mistake is reported at once, with the remedy."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import redis
import redis.asyncio as aioredis
from redis.asyncio.sentinel import Sentinel
from redis.credentials import CredentialProvider

from resumable_stream.errors import (
    BackendFaultError,
    BackendUnavailableError,
    InvalidSettingError,
)
from resumable_stream_redis import RedisBackend
from support.servers import eventually

if TYPE_CHECKING:
    from support.inbox import Inbox
    from support.servers import ValkeyServer

make_sentinel: Any = Sentinel


class FakeAsyncRedis(aioredis.Redis):
    """Stands for fakeredis's client, whose class is derived from redis-py's."""

    __module__ = "fakeredis.aioredis"


class FakeConnection(aioredis.Connection):
    """Stands for the connection class of fakeredis's client."""

    __module__ = "fakeredis.aioredis"


class Stranger:
    __module__ = "elsewhere"


MISTAKES: list[tuple[object, str]] = [
    (redis.Redis(), "redis.client.Redis.*not asynchronous.*redis.asyncio.Redis"),
    (redis.RedisCluster, "the class redis.cluster.RedisCluster.*pass an object"),
    (FakeAsyncRedis(), "fakeredis.aioredis.FakeAsyncRedis.*memory://"),
    (
        aioredis.Redis(connection_pool=aioredis.ConnectionPool(FakeConnection)),
        "no server.*memory://",
    ),
    ("redis://u:secret@h", "builtins.str.*first argument"),
    (aioredis.Redis, "the class redis.asyncio.client.Redis.*pass an object"),
    (aioredis.ConnectionPool(), "connection_pool="),
    (make_sentinel([("h", 1)]), "master_for"),
    (Stranger(), "a elsewhere.Stranger: pass a redis.asyncio.Redis"),
    (7, "a builtins.int"),
]


@pytest.mark.parametrize(("client", "told"), MISTAKES)
def test_what_is_no_client_is_refused_with_the_remedy(client: Any, told: str) -> None:
    with pytest.raises(InvalidSettingError, match=told) as caught:
        RedisBackend(client=client)
    assert "secret" not in str(caught.value)


def test_client_in_place_of_the_url_is_told() -> None:
    client: Any = aioredis.Redis()
    with pytest.raises(InvalidSettingError, match="pass it as client="):
        RedisBackend(client)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "5", None])
def test_timeout_is_a_positive_number(timeout: Any) -> None:
    with pytest.raises(InvalidSettingError, match="timeout"):
        RedisBackend("redis://h", timeout=timeout)


class Provider(CredentialProvider):
    """Raises the error that the test has set."""

    raised: ClassVar[Exception]

    def get_credentials(self) -> tuple[str, str]:
        raise self.raised


def refusing(url: str, error: Exception) -> RedisBackend:
    Provider.raised = error
    client = aioredis.Redis.from_url(url, credential_provider=Provider())
    return RedisBackend(client=client, timeout=5)


@pytest.mark.parametrize("kind", [AttributeError, TypeError, NameError])
async def test_mistake_while_connecting_is_no_outage(
    valkey: ValkeyServer, name: str, inbox: Inbox, kind: type[Exception]
) -> None:
    backend = refusing(valkey.url, kind("mistaken"))
    calls = (
        lambda: backend.get(name),
        lambda: backend.create(name, "v", ttl=60),
        lambda: backend.compare_and_set(name, "v", "w", ttl=60),
        lambda: backend.publish(name, b"m"),
        lambda: inbox.subscribe(backend, name),
    )
    began = time.monotonic()
    for call in calls:
        with pytest.raises(BackendFaultError, match="mistaken") as caught:
            await call()
        assert not isinstance(caught.value, BackendUnavailableError)
        assert type(caught.value.__cause__) is kind
    assert time.monotonic() - began < 4
    with valkey.client() as client:
        await eventually(lambda: len(client.client_list()) == 1, "the connections to go")
    await eventually(lambda: len(asyncio.all_tasks()) == 1, "the tasks to go")
    await backend.aclose()


async def test_trouble_of_a_credential_provider_is_an_outage(
    valkey: ValkeyServer, name: str
) -> None:
    backend = refusing(valkey.url, LookupError("no credentials now"))
    with pytest.raises(BackendUnavailableError, match="no credentials now"):
        await backend.get(name)
    await backend.aclose()


async def test_subscriber_outlives_a_mistake_while_reconnecting(
    valkey: ValkeyServer, name: str, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[object] = []

    async def connect(connection: object, **_: object) -> None:
        attempts.append(connection)
        raise TypeError("mistaken")

    backend = RedisBackend(client=aioredis.Redis.from_url(valkey.url))
    await inbox.subscribe(backend, name)
    with monkeypatch.context() as patch:
        patch.setattr(aioredis.Connection, "on_connect_check_health", connect)
        with valkey.client() as client:
            client.client_kill_filter(_type="pubsub")
        await eventually(lambda: len(attempts) >= 2, "it to try again")
        with pytest.raises(BackendFaultError, match="mistaken"):
            await backend.get(name)
    await inbox.lost()
    await backend.publish(name, b"m")
    await inbox.received(b"m")
    await backend.aclose()
