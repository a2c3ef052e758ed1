"""The parts that use redis-py's internals, each tested with the fault that it is there for."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio as aioredis
from redis.asyncio.connection import Connection
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.credentials import CredentialProvider
from redis.exceptions import (
    InvalidResponse,
    MovedError,
    NoPermissionError,
    ResponseError,
)

from resumable_stream_redis import _driver
from support.servers import ClusterSet, SentinelSet, ValkeyServer, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

make_connection: Any = Connection
make_sentinel: Any = Sentinel

INCOMPLETE = object()


class Receiver(asyncio.Protocol):
    """Keeps what it receives."""

    def __init__(self) -> None:
        self.received = b""
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


@asynccontextmanager
async def connection_to(server: ValkeyServer, **settings: Any) -> AsyncIterator[Any]:
    connection = make_connection(port=server.port, protocol=2, **settings)
    await connection.connect()
    try:
        yield connection
    finally:
        await _driver.drop(connection)


@pytest.fixture(scope="module")
def sentinels() -> Iterator[SentinelSet]:
    with SentinelSet() as sentinels:
        yield sentinels


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterSet]:
    with ClusterSet(replicas=False) as cluster:
        yield cluster


async def test_what_comes_after_a_take_over_goes_to_the_new_owner(valkey: ValkeyServer) -> None:
    async with connection_to(valkey) as connection:
        receiver = Receiver()
        taken = _driver.take_over(connection, receiver)
        assert (taken.early, taken.ended) == (b"", False)
        taken.transport.write(b"PING\r\n")
        await eventually(lambda: receiver.received == b"+PONG\r\n", "the answer")
        assert not connection._reader._buffer


async def test_what_came_before_a_take_over_is_handed_over(valkey: ValkeyServer) -> None:
    async with connection_to(valkey) as connection:
        await connection.send_command("PING")
        await eventually(lambda: connection._reader._buffer, "redis-py to hold the answer")
        receiver = Receiver()
        assert _driver.take_over(connection, receiver).early == b"+PONG\r\n"
        assert not connection._reader._buffer
        assert not receiver.received


async def test_end_before_a_take_over_is_told(valkey: ValkeyServer) -> None:
    async with connection_to(valkey) as connection:
        valkey.kill()
        await eventually(lambda: connection._reader._eof, "redis-py to see the end")
        assert _driver.take_over(connection, Receiver()).ended


async def test_dropping_waits_for_nothing(valkey: ValkeyServer) -> None:
    async with connection_to(valkey) as connection:
        taken = _driver.take_over(connection, Receiver())
        valkey.freeze()
        taken.transport.write(bytes(16 * 1024 * 1024))
        assert taken.transport.get_write_buffer_size()
        dropping = _driver.drop(connection)
        with pytest.raises(StopIteration):
            # Dropping takes no turn of the event loop, since a cancelled task may call it.
            dropping.send(None)
        assert not taken.transport.get_write_buffer_size()
        assert not connection.is_connected
    valkey.thaw()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"-NOPERM no right\r\n", NoPermissionError),
        (b"-MOVED 7 127.0.0.1:7001\r\n", MovedError),
        (b"-ERR anything\r\n", ResponseError),
    ],
)
def test_error_replies_are_what_redis_py_makes_of_them(said: bytes, error: type) -> None:
    parser = _driver.reply_parser(INCOMPLETE)
    parser.feed(b"*2\r\n+x\r\n" + said)
    first, second = parser.gets()
    assert first == b"x"
    assert type(second) is error


def test_reply_is_returned_once_all_of_it_is_there() -> None:
    parser = _driver.reply_parser(INCOMPLETE)
    assert parser.gets() is INCOMPLETE
    parser.feed(b"$3\r\nab")
    assert parser.gets() is INCOMPLETE
    parser.feed(b"c\r\n$-1\r\n")
    assert parser.gets() == b"abc"
    assert parser.gets() is None
    assert parser.gets() is INCOMPLETE


def test_nonsense_is_an_error_of_redis_py() -> None:
    parser = _driver.reply_parser(INCOMPLETE)
    parser.feed(b"HTTP/1.1 400\r\n")
    with pytest.raises(InvalidResponse):
        parser.gets()


class Provider(CredentialProvider):
    """Raises an error instead of giving credentials, which redis-py does not expect."""

    def get_credentials(self) -> tuple[str, str]:
        raise LookupError


async def test_failed_connection_leaves_nothing_open(valkey: ValkeyServer) -> None:
    connection = make_connection(port=valkey.port, credential_provider=Provider())
    with pytest.raises(LookupError):
        await _driver.connected(connection)
    assert not connection.is_connected
    with valkey.client() as admin:
        await eventually(lambda: len(admin.client_list()) == 1, "the connection to go")


async def test_cancelled_connection_leaves_nothing_open(valkey: ValkeyServer) -> None:
    valkey.freeze()
    connection = make_connection(port=valkey.port)
    connecting = asyncio.create_task(_driver.connected(connection))
    await eventually(lambda: connection.is_connected, "the handshake to begin")
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert not connection.is_connected
    valkey.thaw()


async def test_address_of_a_connection_is_what_it_was_made_with() -> None:
    assert _driver.address_of(make_connection(host="h", port="7")) == ("h", 7)


async def test_settings_are_those_of_the_users_connections() -> None:
    client = aioredis.Redis(host="h", port=7, ssl=True, ssl_ca_certs="file")
    kind, settings = _driver.settings_of(client.connection_pool)
    assert kind is aioredis.SSLConnection
    assert (settings["host"], settings["port"], settings["ssl_ca_certs"]) == ("h", 7, "file")
    of_cluster = aioredis.RedisCluster(host="127.0.0.1", username="someone", ssl=True)
    kind, settings = _driver.settings_of_cluster(of_cluster)
    assert kind is aioredis.SSLConnection
    assert settings["username"] == "someone"
    assert "connection_class" not in settings
    assert "connection_class" in of_cluster.connection_kwargs


async def test_primary_is_found_past_dead_sentinels(sentinels: SentinelSet) -> None:
    addresses = [("127.0.0.1", 1), *sentinels.addresses]
    pool = make_sentinel(addresses).master_for(sentinels.service).connection_pool
    assert await _driver.find_primary(pool) == ("127.0.0.1", sentinels.primary.port)
    with sentinels.sentinels[0].client() as admin:
        await eventually(
            # The Sentinels' own connections have names; ours has none.
            lambda: [c["name"] for c in admin.client_list()].count("") == 1,
            "the connection to the Sentinel to go",
        )


async def test_what_the_user_told_sentinel_is_heeded(sentinels: SentinelSet) -> None:
    made = make_sentinel(sentinels.addresses, force_master_ip="mapped")
    pool = made.master_for(sentinels.service).connection_pool
    assert await _driver.find_primary(pool) == ("mapped", sentinels.primary.port)
    made = make_sentinel(sentinels.addresses, min_other_sentinels=7)
    with pytest.raises(MasterNotFoundError):
        await _driver.find_primary(made.master_for(sentinels.service).connection_pool)
    login = {"username": "nobody", "password": "x"}
    made = make_sentinel(sentinels.addresses, sentinel_kwargs=login)
    with pytest.raises(MasterNotFoundError, match="AuthenticationError"):
        await _driver.find_primary(made.master_for(sentinels.service).connection_pool)


async def test_replicas_are_told_from_the_primary() -> None:
    manager = make_sentinel([("h", 1)])
    assert _driver.reads_from_replicas(manager.slave_for("service").connection_pool)
    assert not _driver.reads_from_replicas(manager.master_for("service").connection_pool)


async def test_cluster_is_looked_at_again(cluster: ClusterSet) -> None:
    client: Any = aioredis.RedisCluster(host="127.0.0.1", port=cluster.primaries[0].port)
    await client.initialize()
    before = {node.name for node in client.get_primaries()}
    client.nodes_manager.slots_cache.clear()
    await _driver.look_again(client)
    assert {node.name for node in client.get_primaries()} == before
    assert client.get_node_from_key("key").name in before
    await client.aclose()


async def test_nodes_are_reached_where_the_user_says() -> None:
    client = aioredis.RedisCluster(host="127.0.0.1")
    assert _driver.reachable_address(client, "h", 7) == ("h", 7)
    mapped = aioredis.RedisCluster(host="127.0.0.1", address_remap=lambda at: ("mapped", at[1] + 1))
    assert _driver.reachable_address(mapped, "h", 7) == ("mapped", 8)
