"""Where commands and messages go: one server, the primary that Sentinel names, or a cluster."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import redis.asyncio as aioredis
from redis.asyncio.connection import Connection as TcpConnection
from redis.asyncio.connection import ConnectionPool, SSLConnection
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import AskError, MovedError, RedisClusterException, RedisError

from resumable_stream.errors import InvalidSettingError
from resumable_stream_redis import _driver
from resumable_stream_redis._settings import checked_client, checked_url, own_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from resumable_stream_redis._driver import Connection

MESSAGE_NODE = ""
"""The node that messages go through; without a cluster, the only one."""

# Seconds between a subscriber's questions to Sentinel. Without them a former primary, which the
# other servers have lost and this process has not, would keep it deaf.
_WATCH_INTERVAL = 5.0

_REFRESH_PAUSE = 0.25


class Topology(Protocol):
    is_one_server: bool
    """One server has every key, and knows all subscribers of a channel; in a cluster none does."""

    async def locate(self, key: bytes, limit: float) -> str:
        """Return the node that holds the key, within ``limit`` seconds."""
        ...

    async def open(self, node: str) -> Connection: ...

    def renew(self) -> None:
        """Refresh what is known of the nodes before the next use: some of it is wrong."""
        ...

    def redirected(self, node: str, error: AskError) -> str:
        """Return the node that a node's redirection names."""
        ...

    @property
    def watch(self) -> Callable[[Connection], Coroutine[Any, Any, None]] | None:
        """Return once a connection leads to the wrong server; None where that cannot happen."""
        ...


class OneServer:
    is_one_server = True

    def __init__(self, connection_class: Callable[..., Any], theirs: dict[str, Any]) -> None:
        self._connection_class = connection_class
        self._settings = own_settings(connection_class, theirs)
        # Raises for a wrong setting here, not at the first use.
        connection_class(**self._settings)

    async def locate(self, key: bytes, limit: float) -> str:  # noqa: ARG002 - one node has every key
        return MESSAGE_NODE

    async def open(self, node: str) -> Connection:  # noqa: ARG002 - there is one
        return await _driver.connected(self._connection_class(**self._settings))

    def renew(self) -> None: ...

    def redirected(self, node: str, error: AskError) -> str:  # noqa: ARG002 - there is one
        raise error

    watch = None


class SentinelPrimary:
    """The primary of a Sentinel's service, looked up at every connect."""

    is_one_server = True

    def __init__(self, pool: SentinelConnectionPool) -> None:
        _driver.check_sentinel(pool)
        if _driver.reads_from_replicas(pool):
            raise ValueError("it reads from replicas; make one with master_for()")
        self._pool = pool
        theirs: Any
        theirs, settings = _driver.settings_of(pool)
        tls = issubclass(theirs, SSLConnection)
        self._connection_class: Any = SSLConnection if tls else TcpConnection
        self._settings = own_settings(self._connection_class, settings)

    async def locate(self, key: bytes, limit: float) -> str:  # noqa: ARG002 - one node has every key
        return MESSAGE_NODE

    async def open(self, node: str) -> Connection:  # noqa: ARG002 - there is one
        host, port = await _driver.find_primary(self._pool)
        settings = {**self._settings, "host": host, "port": port}
        return await _driver.connected(self._connection_class(**settings))

    def renew(self) -> None: ...

    def redirected(self, node: str, error: AskError) -> str:  # noqa: ARG002 - there is one
        raise error

    async def watch(self, connection: Connection) -> None:
        while True:
            await asyncio.sleep(_WATCH_INTERVAL)
            try:
                found = await _driver.find_primary(self._pool)
            except (RedisError, OSError):
                continue  # no Sentinel answers: stay with the present server
            if found != _driver.address_of(connection):
                return


class Cluster:
    """The nodes of a cluster, as the user's ``RedisCluster`` knows them.

    A plain message reaches every node of a cluster, so all of them go through one node.
    """

    is_one_server = False

    def __init__(self, client: aioredis.RedisCluster) -> None:
        _driver.check_cluster(client)
        self._connection_class, settings = _driver.settings_of_cluster(client)
        self._settings = own_settings(self._connection_class, settings)
        self._settings.pop("redis_connect_func", None)  # it would let replicas answer reads
        self._client: Any = client
        self._message_node = MESSAGE_NODE
        self._outdated = False
        self._looked = 0.0
        self._lock = asyncio.Lock()

    async def locate(self, key: bytes, limit: float) -> str:
        async with asyncio.timeout(limit):
            await self._look()
        name: str = self._client.get_node_from_key(key).name
        return name

    async def open(self, node: str) -> Connection:
        try:
            if node != MESSAGE_NODE:
                return await self._connect(node)
            await self._look()
            names = [one.name for one in self._client.get_primaries()]
            random.shuffle(names)
            if self._message_node in names:
                names.remove(self._message_node)
                names.insert(0, self._message_node)
            return await self._first(names)
        except BaseException:
            self.renew()
            raise

    def renew(self) -> None:
        self._outdated = True

    def redirected(self, node: str, error: AskError) -> str:
        if isinstance(error, MovedError):
            self.renew()
        # A node that does not know its own address names only the port.
        host = error.host or node.rpartition(":")[0]
        host, port = _driver.reachable_address(self._client, host, error.port)
        return f"{host}:{port}"

    watch = None

    async def _first(self, names: list[str]) -> Connection:
        trouble: Exception = RedisClusterException("the cluster has no primary")
        for name in names:
            try:
                connection = await self._connect(name)
            except (RedisError, OSError) as error:
                trouble = error
            else:
                self._message_node = name
                return connection
        raise trouble

    async def _connect(self, name: str) -> Connection:
        host, _, port = name.rpartition(":")
        settings = {**self._settings, "host": host, "port": int(port)}
        return await _driver.connected(self._connection_class(**settings))

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._lock:
            await self._client.initialize()
            if self._outdated and loop.time() - self._looked > _REFRESH_PAUSE:
                self._looked = loop.time()
                await _driver.look_again(self._client)
                self._outdated = False


def topology_of(url: str | None, client: aioredis.Redis | aioredis.RedisCluster | None) -> Topology:
    """Return where the one of both leads that was given.

    Raises:
        InvalidSettingError: an invalid setting; the message says what to pass.
        UnsupportedDriverError: redis-py or hiredis is too old, or not as expected inside.
    """
    _driver.check()
    if client is not None and url is None:
        return from_client(checked_client(client))
    if url is not None and client is None:
        return from_url(checked_url(url))
    raise InvalidSettingError("pass either a URL or client=")


def from_url(url: str) -> Topology:
    scheme, _, rest = url.partition("://")
    scheme = {"valkey": "redis", "valkeys": "rediss"}.get(scheme.lower(), scheme.lower())
    try:
        pool = ConnectionPool.from_url(f"{scheme}://{rest}")
        return OneServer(*_driver.settings_of(pool))
    except (TypeError, ValueError, RedisError) as error:
        shown = urlsplit(url)
        raise InvalidSettingError(
            f"cannot use this Redis URL ({scheme}://…{shown.path}): {error}"
        ) from error


def from_client(client: aioredis.Redis | aioredis.RedisCluster) -> Topology:
    try:
        if isinstance(client, aioredis.RedisCluster):
            return Cluster(client)
        pool = client.connection_pool
        if isinstance(pool, SentinelConnectionPool):
            return SentinelPrimary(pool)
        return OneServer(*_driver.settings_of(pool))
    except (TypeError, ValueError, RedisError) as error:
        raise InvalidSettingError(f"cannot use the settings of this client: {error}") from error
