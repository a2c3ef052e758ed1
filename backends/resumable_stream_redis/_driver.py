"""What redis-py, hiredis and asyncio do not document: used here, and nowhere else.

redis-py brings a connection up: TLS, credentials, the database. Its pools and clients are not used:
they repeat commands, reorder publishes and hide reconnections. Its reading is not used either: its
stream and its task add some 0.1 ms to each message when the process was idle. So a connection is
taken over once it stands.
"""
# ruff: noqa: SLF001 - the reason for this module

from __future__ import annotations

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hiredis import Reader
from redis.asyncio.connection import Connection as TcpConnection
from redis.asyncio.connection import ConnectionPool, DefaultParser
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import InvalidResponse

from resumable_stream.adapter_kit import check_inside, check_versions, heed_cancellation, lacking
from resumable_stream_redis._versions import TESTED

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from redis.asyncio import RedisCluster
    from redis.asyncio.sentinel import SentinelConnectionPool

POOL_NAMES = ("connection_class", "connection_kwargs")
CONNECTION_NAMES = ("_reader", "_writer", "host", "port")
SENTINEL_NAMES = ("_force_master_ip", "min_other_sentinels", "sentinel_kwargs", "sentinels")
SENTINEL_POOL_NAMES = (
    "_available_connections",
    "_in_use_connections",
    "is_master",
    "sentinel_manager",
    "service_name",
)
CLUSTER_NAMES = ("connection_kwargs", "nodes_manager")
NODES_NAMES = ("initialize", "remap_host_port")

_SENTINEL_TIMEOUT = 1.0


class Connection(Protocol):
    """The documented part of ``redis.asyncio.connection.AbstractConnection`` that is used."""

    async def connect(self) -> None: ...

    async def disconnect(self, nowait: bool = False) -> None: ...  # noqa: FBT001, FBT002 - redis-py's signature


class Taken(NamedTuple):
    """A connection that was taken over from redis-py."""

    transport: asyncio.Transport
    early: bytes
    """What has come already."""
    ended: bool
    """Nothing more will come."""


@cache
def check() -> None:
    """Check, once, that what is installed is as this module expects.

    Raises:
        UnsupportedDriverError: it is not, or too old.
    """
    check_versions(TESTED)
    check_inside(TESTED, _missing)


def _missing() -> list[str]:
    reply_parser(incomplete=None)
    connection = TcpConnection()
    inspect.signature(connection.disconnect).bind(nowait=True)
    return [
        *lacking("redis.asyncio.Connection", connection, CONNECTION_NAMES),
        *lacking("redis.asyncio.ConnectionPool", ConnectionPool(), POOL_NAMES),
    ]


def check_sentinel(pool: SentinelConnectionPool) -> None:
    """Check that a pool which Sentinel made is as ``find_primary`` expects.

    Raises:
        UnsupportedDriverError: it is not.
    """
    manager = getattr(pool, "sentinel_manager", None)
    check_inside(
        TESTED,
        lambda: [
            *lacking("redis.asyncio.SentinelConnectionPool", pool, SENTINEL_POOL_NAMES),
            *lacking("redis.asyncio.Sentinel", manager, SENTINEL_NAMES),
        ],
    )


def check_cluster(client: RedisCluster) -> None:
    """Check that a cluster's client is as the functions below expect.

    Raises:
        UnsupportedDriverError: it is not.
    """
    nodes = getattr(client, "nodes_manager", None)
    check_inside(
        TESTED,
        lambda: [
            *lacking("redis.asyncio.RedisCluster", client, CLUSTER_NAMES),
            *lacking("redis.asyncio.RedisCluster.nodes_manager", nodes, NODES_NAMES),
        ],
    )


def reply_parser(incomplete: object) -> Reader:
    """Return a parser whose ``gets`` returns ``incomplete`` while a reply is not all there.

    An error reply becomes the exception that redis-py makes of it.
    """
    parse_error: Any = DefaultParser.parse_error
    return Reader(protocolError=InvalidResponse, replyError=parse_error, notEnoughData=incomplete)


async def connected(connection: Connection) -> Connection:
    """Bring the connection up; leave nothing open if that fails or is cancelled."""
    try:
        await connection.connect()
        heed_cancellation()
    except BaseException:
        await drop(connection)
        raise
    return connection


async def drop(connection: Connection) -> None:
    """Cut the connection and let go of it; does not wait, so it is safe while being cancelled."""
    # redis-py offers only a close that first flushes, which a frozen server holds up for ever.
    theirs: Any = connection
    writer: asyncio.StreamWriter | None = theirs._writer
    if writer is not None:
        writer.transport.abort()
    await connection.disconnect(nowait=True)


def take_over(connection: Connection, protocol: asyncio.Protocol) -> Taken:
    """Let ``protocol`` have what comes over the connection from here on."""
    theirs: Any = connection
    reader, transport = theirs._reader, theirs._writer.transport
    transport.set_protocol(protocol)
    # asyncio has no way to ask a reader for what it holds without waiting for more.
    early = bytes(reader._buffer)
    reader._buffer.clear()
    return Taken(transport, early, ended=reader.at_eof() or transport.is_closing())


def address_of(connection: Connection) -> tuple[str, int]:
    """Return the host and port that the connection was made with."""
    theirs: Any = connection
    return theirs.host, theirs.port


def settings_of(pool: ConnectionPool) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the class and the settings that a pool makes its connections with."""
    theirs: Any = pool
    return theirs.connection_class, dict(theirs.connection_kwargs)


def settings_of_cluster(client: RedisCluster) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the class and the settings that a cluster's client makes its connections with."""
    settings = dict(client.connection_kwargs)
    return settings.pop("connection_class"), settings


def reads_from_replicas(pool: SentinelConnectionPool) -> bool:
    return not pool.is_master


async def find_primary(pool: SentinelConnectionPool) -> tuple[str, int]:
    """Ask the pool's Sentinels for the primary of its service.

    Raises:
        RedisError: none of them names one.
    """
    # The user's own Sentinel clients retry a dead one for longer than this whole search lasts.
    manager: Any = pool.sentinel_manager
    make_sentinel: Any = Sentinel
    ours = make_sentinel(
        [
            (kwargs["host"], kwargs["port"])
            for kwargs in (one.connection_pool.connection_kwargs for one in manager.sentinels)
        ],
        min_other_sentinels=manager.min_other_sentinels,
        sentinel_kwargs={
            **manager.sentinel_kwargs,
            "socket_timeout": _SENTINEL_TIMEOUT,
            "socket_connect_timeout": _SENTINEL_TIMEOUT,
            "retry": Retry(NoBackoff(), 0),
        },
        force_master_ip=manager._force_master_ip,
    )
    try:
        host, port = await ours.discover_master(pool.service_name)
        heed_cancellation()
    finally:
        # Their own close makes a task for each, which is too late at the end of an event loop.
        for own in (one.connection_pool for one in ours.sentinels):
            for connection in (*own._available_connections, *own._in_use_connections):
                await drop(connection)
    return str(host), int(port)


async def look_again(client: RedisCluster) -> None:
    """Let the client ask its cluster where things are."""
    nodes: Any = client.nodes_manager
    await nodes.initialize()


def reachable_address(client: RedisCluster, host: str, port: int) -> tuple[str, int]:
    """Return where the client reaches a node, by the user's own mapping if there is one."""
    nodes: Any = client.nodes_manager
    found: tuple[str, int] = nodes.remap_host_port(host, port)
    return found
