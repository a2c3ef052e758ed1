"""The two ports over a pipe for commands and a hub for subscriptions."""

from __future__ import annotations

import asyncio
import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    RedisError,
    TryAgainError,
)

from resumable_stream.adapter_kit import LoopBound
from resumable_stream.errors import (
    BackendUnavailableError,
    InvalidSettingError,
    MessageTooLargeError,
)
from resumable_stream_redis import _driver
from resumable_stream_redis._errors import BACKEND, failed, is_wrong_type, refused, wrong_type
from resumable_stream_redis._hub import Hub
from resumable_stream_redis._pipe import Pipe
from resumable_stream_redis._settings import checked_client, checked_timeout, checked_url
from resumable_stream_redis._topology import MESSAGE_NODE, from_client, from_url
from resumable_stream_redis._wire import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio import Redis, RedisCluster

    from resumable_stream.ports import Loss, Subscription
    from resumable_stream_redis._driver import Connection
    from resumable_stream_redis._topology import Topology

MAX_MESSAGE_SIZE = 512 * 1024

_MAX_REDIRECTIONS = 5
_TRY_AGAIN_DELAY = 0.05

_COMPARE_AND_SET = b"""\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""
_COMPARE_AND_SET_SHA = hashlib.sha1(_COMPARE_AND_SET, usedforsecurity=False).hexdigest().encode()

# An error of one key, which may hold something other than a value, does not concern the others.
_RENEW_MANY = b"""\
local renewed = {}
for i, key in ipairs(KEYS) do
  local held = redis.pcall('GET', key) == ARGV[i]
  if held and redis.pcall('SET', key, ARGV[i], 'EX', ARGV[#KEYS + 1])['ok'] then
    renewed[i] = '1'
  else
    renewed[i] = '0'
  end
end
return table.concat(renewed)
"""
_RENEW_MANY_SHA = hashlib.sha1(_RENEW_MANY, usedforsecurity=False).hexdigest().encode()
_RENEWED = ord("1")


def open_backend(url: str) -> RedisBackend:
    """Open the backend of a ``redis://`` URL, or of another scheme of this package."""
    return RedisBackend(url)


class RedisBackend:
    """A backend on Redis or Valkey.

    Args:
        url: what ``redis.asyncio.from_url`` takes, or the same with ``valkey://`` or ``valkeys://``.
        client: instead of the URL, a ``redis.asyncio.Redis`` (also one that a Sentinel's
            ``master_for`` made) or ``RedisCluster``. Only its settings are used, on connections of
            the backend's own, so it is never closed, its pool never exhausted, and its retry policy
            never repeats a write.
        timeout: seconds after which a server that does not answer has failed.

    Raises:
        InvalidSettingError: an invalid setting; the message says what to pass.
        UnsupportedDriverError: redis-py or hiredis is too old, or not as expected inside.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Redis | RedisCluster | None = None,
        timeout: float = 5.0,
    ) -> None:
        _driver.check()
        if client is not None and url is None:
            self._topology: Topology = from_client(checked_client(client))
        elif url is not None and client is None:
            self._topology = from_url(checked_url(url))
        else:
            raise InvalidSettingError("pass either a URL or client=")
        self._timeout = checked_timeout(timeout)
        self._bound = LoopBound(BACKEND, lambda: _Parts(self._topology, self._timeout))

    @property
    def max_message_size(self) -> int:
        return MAX_MESSAGE_SIZE

    async def get(self, key: str) -> str | None:
        value = await self._execute(key, b"GET", key.encode(), write=False)
        # Another program may have written any bytes; compare_and_set must find them unchanged.
        return value.decode(errors="surrogateescape") if isinstance(value, bytes) else None

    async def set(self, key: str, value: str, *, ttl: int) -> None:
        command = (b"SET", key.encode(), value.encode(), b"EX", b"%d" % ttl)
        await self._execute(key, *command, write=True)

    async def create(self, key: str, value: str, *, ttl: int) -> bool:
        command = (b"SET", key.encode(), value.encode(), b"EX", b"%d" % ttl, b"NX")
        return await self._execute(key, *command, write=True) is not None

    async def compare_and_set(self, key: str, expected: str, value: str, *, ttl: int) -> bool:
        present = expected.encode(errors="surrogateescape")  # the inverse of get
        arguments = (b"1", key.encode(), present, value.encode(), b"%d" % ttl)
        return await self._run(key, _COMPARE_AND_SET, _COMPARE_AND_SET_SHA, arguments) == 1

    async def renew_many(self, entries: Sequence[tuple[str, str]], *, ttl: int) -> list[bool]:
        if not self._topology.is_one_server:
            return [False] * len(entries)  # a script reaches the keys of one node only
        keys = [key.encode() for key, _ in entries]
        values = [value.encode(errors="surrogateescape") for _, value in entries]
        arguments = (b"%d" % len(keys), *keys, *values, b"%d" % ttl)
        flags: Any = await self._run("", _RENEW_MANY, _RENEW_MANY_SHA, arguments)
        return [flag == _RENEWED for flag in flags]

    async def delete(self, key: str) -> None:
        await self._execute(key, b"DEL", key.encode(), write=True)

    async def publish(self, channel: str, message: bytes) -> None:
        await self.publish_many([(channel, message)])

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> None:
        for _, message in messages:
            if len(message) > MAX_MESSAGE_SIZE:
                raise MessageTooLargeError(
                    f"a message of {len(message)} bytes exceeds max_message_size {MAX_MESSAGE_SIZE}"
                )
        parts = self._bound.get()
        if not messages:
            return
        commands = [pack(b"PUBLISH", channel.encode(), message) for channel, message in messages]
        try:
            await parts.pipe(MESSAGE_NODE).call(commands, write=True)
        except RedisError as error:
            raise refused(error) from error

    async def subscribe(
        self,
        channel: str,
        on_message: Callable[[bytes], None],
        on_loss: Callable[[Loss], None],
    ) -> Subscription:
        return await self._bound.get().hub.subscribe(channel.encode(), on_message, on_loss)

    async def count_subscribers(self, channels: Sequence[str]) -> list[int] | None:
        if not self._topology.is_one_server:
            return None
        names = [channel.encode() for channel in channels]
        reply: Any = await self._execute("", b"PUBSUB", b"NUMSUB", *names, write=False)
        return [int(count) for count in reply[1::2]]

    async def aclose(self) -> None:
        if (parts := self._bound.close()) is not None:
            await parts.aclose()

    async def _run(
        self, key: str, script: bytes, sha: bytes, arguments: tuple[bytes, ...]
    ) -> object:
        """Run a script, which the server may not know yet, on the node that has the key."""
        try:
            return await self._execute(key, b"EVALSHA", sha, *arguments, write=True)
        except BackendUnavailableError as error:
            if not isinstance(error.__cause__, NoScriptError):
                raise
            # The server said that it has not run the script: nothing is repeated.
            return await self._execute(key, b"EVAL", script, *arguments, write=True)

    async def _execute(self, key: str, *command: bytes, write: bool) -> object:
        """Run a command on the node that has the key, and follow the cluster's redirections."""
        parts = self._bound.get()
        commands = [pack(*command)]
        try:
            node = await self._topology.locate(key.encode(), self._timeout)
        except Exception as error:
            raise failed(error) from error
        try:
            for _ in range(_MAX_REDIRECTIONS):
                try:
                    return await parts.pipe(node).call(commands, write=write)
                except MovedError as error:
                    node = self._topology.redirected(node, error)
                    commands = commands[-1:]
                except AskError as error:
                    node = self._topology.redirected(node, error)
                    commands = [pack(b"ASKING"), commands[-1]]
                except TryAgainError:
                    await asyncio.sleep(_TRY_AGAIN_DELAY)
            raise BackendUnavailableError("the cluster keeps redirecting: it is being rearranged")
        except RedisError as error:
            if isinstance(error, ClusterDownError):
                self._topology.renew()
            if is_wrong_type(error):
                raise wrong_type(key, error) from error
            raise refused(error) from error


class _Parts:
    """What belongs to one event loop."""

    def __init__(self, topology: Topology, timeout: float) -> None:
        self._topology = topology
        self._timeout = timeout
        self._pipes: dict[str, Pipe] = {}
        watch = None if topology.watch is None else self._watch
        self.hub = Hub(partial(topology.open, MESSAGE_NODE), timeout, watch)

    @property
    def cut_off(self) -> bool:
        """The event loop is being shut down: what was begun now would not come to its end."""
        # Every call asks this, and ``any`` would take longer than all of it.
        for pipe in self._pipes.values():
            if pipe.cut_off:
                return True
        return self.hub.cut_off

    def pipe(self, node: str) -> Pipe:
        pipe = self._pipes.get(node)
        if pipe is None:
            pipe = self._pipes[node] = Pipe(partial(self._topology.open, node), self._timeout)
        return pipe

    async def aclose(self) -> None:
        await self.hub.aclose()
        for pipe in self._pipes.values():
            await pipe.aclose()

    async def _watch(self, connection: Connection) -> None:
        if self._topology.watch is not None:
            await self._topology.watch(connection)
            for pipe in self._pipes.values():
                pipe.renew()
