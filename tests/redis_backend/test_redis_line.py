"""A line hands replies on in order and in turns, and reports the end of its connection."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio as aioredis
from redis.asyncio.connection import AbstractConnection, Connection
from redis.exceptions import ResponseError

from resumable_stream.errors import BackendUnavailableError
from resumable_stream_redis import RedisBackend
from resumable_stream_redis._driver import drop
from resumable_stream_redis._line import Line
from support.servers import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from resumable_stream.ports import Loss, Subscription

OWNERS = 100
# With these settings a client does not send its library's name; older redis-py needs the second.
SILENT: dict[str, Any] = (
    {"driver_info": None}
    if "driver_info" in inspect.signature(AbstractConnection).parameters
    else {"lib_name": None, "lib_version": None}
)


@asynccontextmanager
async def server_that_says(data: bytes, *, hang_up: bool = True) -> AsyncIterator[int]:
    """A server that sends ``data`` on each connection, reads nothing, and by default hangs up."""

    writers: list[asyncio.StreamWriter] = []

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(data)
        if hang_up:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            for writer in writers:
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()


@asynccontextmanager
async def connection_to(port: int) -> AsyncIterator[Any]:
    """A connection over which no command was sent."""
    make: Any = Connection
    connection = make(port=port, protocol=2, **SILENT)
    await connection.connect()
    try:
        yield connection
    finally:
        await drop(connection)


def ignored(loss: Loss) -> None:
    raise AssertionError(loss)


async def test_readers_get_their_turn_between_owners(backend: RedisBackend, name: str) -> None:
    loop, seen = asyncio.get_running_loop(), list[tuple[str, int, bytes]]()

    def take(owner: int, message: bytes) -> None:
        seen.append(("got", owner, message))
        loop.call_soon(seen.append, ("read", owner, message))

    for owner in range(OWNERS):
        await backend.subscribe(name, partial(take, owner), ignored)
    messages = [b"%d" % number for number in range(20)]
    await backend.publish_many([(name, message) for message in messages])
    await eventually(lambda: len(seen) == 2 * len(messages) * OWNERS, "every message")
    for owner in range(OWNERS):
        assert [m for kind, who, m in seen if kind == "got" and who == owner] == messages
    for message in messages:
        assert seen.index(("read", 0, message)) < seen.index(("got", OWNERS - 1, message))


async def test_owner_that_leaves_meanwhile_gets_nothing(backend: RedisBackend, name: str) -> None:
    got: list[int] = []
    subscriptions: list[Subscription] = []
    leaving: list[asyncio.Task[None]] = []

    def take(owner: int, _: bytes) -> None:
        got.append(owner)
        if owner == 0:
            leaving.append(asyncio.create_task(leave()))

    async def leave() -> None:
        for subscription in subscriptions[OWNERS // 2 :]:
            await subscription.aclose()

    for owner in range(OWNERS):
        subscription = await backend.subscribe(name, partial(take, owner), ignored)
        subscriptions.append(subscription)
    await backend.publish(name, b"first")
    await backend.publish(name, b"last")
    await eventually(lambda: got.count(OWNERS // 2 - 1) == 2, "both messages")
    assert got == [*range(OWNERS // 2), *range(OWNERS // 2)]


async def test_server_that_is_full_is_named_at_once(name: str) -> None:
    async with server_that_says(b"-ERR max number of clients reached\r\n") as port:
        # The server refuses before any command: this client does not send its library's name.
        client = aioredis.Redis(port=port, **SILENT)
        backend = RedisBackend(client=client, timeout=60)
        async with asyncio.timeout(10):
            for _ in range(5):
                with pytest.raises(BackendUnavailableError):
                    await backend.get(name)
            with pytest.raises(BackendUnavailableError, match="max number of clients"):
                await backend.get(name)
        await backend.aclose()


async def test_leaving_owner_puts_nothing_out_of_order(backend: RedisBackend, name: str) -> None:
    got: list[bytes] = []

    def leave(_: bytes) -> None:
        with suppress(StopIteration):
            first.aclose().send(None)

    first = await backend.subscribe(name, leave, ignored)
    for _ in range(15):
        await backend.subscribe(name, lambda _: None, ignored)
    await backend.subscribe(name, got.append, ignored)
    messages = [b"%d" % number for number in range(20)]
    await backend.publish_many([(name, message) for message in messages])
    await eventually(lambda: len(got) == len(messages), "every message")
    assert got == messages


async def test_what_came_early_is_not_missed() -> None:
    replies: list[object] = []
    ended = asyncio.Event()
    said = b"+one\r\n-ERR two\r\n:3"
    async with server_that_says(said) as port, connection_to(port) as connection:
        # redis-py has received everything, and nothing has read it from there.
        await eventually(lambda: connection._reader._eof, "the server to hang up")
        line = Line(connection, lambda _, reply: replies.append(reply), ended.set)
        async with asyncio.timeout(10):
            await ended.wait()
    one, two = replies
    assert one == b"one"
    assert isinstance(two, ResponseError)
    assert isinstance(line.cause, ConnectionResetError)


async def test_line_hands_on_in_turns_and_can_be_held() -> None:
    loop, seen = asyncio.get_running_loop(), list[object]()

    def take(line: Line, reply: object) -> None:
        seen.append(reply)
        if reply == 0:
            loop.call_soon(seen.append, "others")
        if reply == 63:
            line.hold()

    said = b"".join(b":%d\r\n" % number for number in range(500))
    async with (
        server_that_says(said, hang_up=False) as port,
        connection_to(port) as connection,
    ):
        line = Line(connection, take, lambda: None)
        await eventually(lambda: 63 in seen, "a first turn")
        for _ in range(10):
            await asyncio.sleep(0)
        assert seen == [*range(64), "others"]
        loop.call_soon(seen.append, "others again")
        line.go_on()
        await eventually(lambda: 499 in seen, "the rest")
        assert seen.index("others again") < seen.index(200)


async def test_line_that_is_held_twice_goes_on_after_both() -> None:
    seen = list[object]()
    async with (
        server_that_says(b"", hang_up=False) as port,
        connection_to(port) as connection,
    ):
        line = Line(connection, lambda _, reply: seen.append(reply), lambda: None)
        line.hold()
        line.hold()
        line.data_received(b":1\r\n:2\r\n")
        line.go_on()
        assert seen == []
        line.go_on()
        assert seen == [1, 2]
        line.data_received(b":3\r\n")
        assert seen == [1, 2, 3]


async def test_nonsense_ends_the_conversation(name: str) -> None:
    async with server_that_says(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        client = aioredis.Redis(port=port, **SILENT)
        backend = RedisBackend(client=client, timeout=60)
        async with asyncio.timeout(10):
            with pytest.raises(BackendUnavailableError):
                await backend.get(name)
        await backend.aclose()
