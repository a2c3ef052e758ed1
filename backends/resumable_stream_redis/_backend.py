"""The two ports over a pipe for commands and a hub for subscriptions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from resumable_stream.adapter_kit import LoopBound
from resumable_stream.errors import MessageTooLargeError
from resumable_stream_redis._errors import BACKEND, is_wrong_type, refused, wrong_type
from resumable_stream_redis._hub import Hub
from resumable_stream_redis._journal import RedisJournal
from resumable_stream_redis._names import key_of
from resumable_stream_redis._nodes import Nodes, Script
from resumable_stream_redis._settings import checked_timeout
from resumable_stream_redis._topology import MESSAGE_NODE, topology_of
from resumable_stream_redis._wire import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio import Redis, RedisCluster

    from resumable_stream.errors import BackendError
    from resumable_stream.ports import Loss, Subscription
    from resumable_stream_redis._driver import Connection
    from resumable_stream_redis._topology import Topology

MAX_MESSAGE_SIZE = 512 * 1024

_COMPARE_AND_SET = Script(b"""\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
""")

# An error of one key, which may hold something other than a value, does not concern the others.
_RENEW_MANY = Script(b"""\
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
""")
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
        self._topology = topology_of(url, client)
        self._timeout = checked_timeout(timeout)
        self._bound = LoopBound(BACKEND, lambda: _Parts(self._topology, self._timeout))
        self._journal = RedisJournal(url, client=client, timeout=timeout)

    @property
    def journal(self) -> RedisJournal:
        """The journal on the same servers, on connections of its own; closed with the backend."""
        return self._journal

    @property
    def max_message_size(self) -> int:
        return MAX_MESSAGE_SIZE

    async def get(self, key: str) -> str | None:
        value = await self._execute(key, b"GET", write=False)
        # Another program may have written any bytes; compare_and_set must find them unchanged.
        return value.decode(errors="surrogateescape") if isinstance(value, bytes) else None

    async def set(self, key: str, value: str, *, ttl: int) -> None:
        arguments = (value.encode(), b"EX", b"%d" % ttl)
        await self._execute(key, b"SET", *arguments, write=True)

    async def create(self, key: str, value: str, *, ttl: int) -> bool:
        arguments = (value.encode(), b"EX", b"%d" % ttl, b"NX")
        return await self._execute(key, b"SET", *arguments, write=True) is not None

    async def compare_and_set(self, key: str, expected: str, value: str, *, ttl: int) -> bool:
        present = expected.encode(errors="surrogateescape")  # the inverse of get
        arguments = (present, value.encode(), b"%d" % ttl)
        nodes = self._bound.get().nodes
        try:
            done = await nodes.run(_COMPARE_AND_SET, [key_of(key)], *arguments, write=True)
        except RedisError as error:
            raise _answered(key, error) from error
        return done == 1

    async def renew_many(self, entries: Sequence[tuple[str, str]], *, ttl: int) -> list[bool]:
        nodes = self._bound.get().nodes
        if not entries or not self._topology.is_one_server:
            return [False] * len(entries)  # a script reaches the keys of one node only
        keys = [key_of(key) for key, _ in entries]
        values = [value.encode(errors="surrogateescape") for _, value in entries]
        try:
            flags: Any = await nodes.run(_RENEW_MANY, keys, *values, b"%d" % ttl, write=True)
        except RedisError as error:
            raise refused(error) from error
        return [flag == _RENEWED for flag in flags]

    async def delete(self, key: str) -> None:
        await self._execute(key, b"DEL", write=True)

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
            await parts.nodes.pipe(MESSAGE_NODE).call(commands, write=True)
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
        pipe = self._bound.get().nodes.pipe(MESSAGE_NODE)
        try:
            reply: Any = await pipe.call([pack(b"PUBSUB", b"NUMSUB", *names)], write=False)
        except RedisError as error:
            raise refused(error) from error
        return [int(count) for count in reply[1::2]]

    async def aclose(self) -> None:
        parts = self._bound.close()
        await self._journal.aclose()
        if parts is not None:
            await parts.aclose()

    async def _execute(self, key: str, command: bytes, *arguments: bytes, write: bool) -> object:
        nodes, name = self._bound.get().nodes, key_of(key)
        try:
            return await nodes.execute(name, command, name, *arguments, write=write)
        except RedisError as error:
            raise _answered(key, error) from error


def _answered(key: str, error: RedisError) -> BackendError:
    """Describe the server's refusal of a command about a key."""
    return wrong_type(key, error) if is_wrong_type(error) else refused(error)


class _Parts:
    """What belongs to one event loop."""

    def __init__(self, topology: Topology, timeout: float) -> None:
        self._topology = topology
        self.nodes = Nodes(topology, timeout)
        watch = None if topology.watch is None else self._watch
        self.hub = Hub(partial(topology.open, MESSAGE_NODE), timeout, watch)

    @property
    def cut_off(self) -> bool:
        """The event loop is being shut down: what was begun now would not come to its end."""
        return self.nodes.cut_off or self.hub.cut_off

    async def aclose(self) -> None:
        await self.hub.aclose()
        await self.nodes.aclose()

    async def _watch(self, connection: Connection) -> None:
        if self._topology.watch is not None:
            await self._topology.watch(connection)
            self.nodes.renew()
