"""The servers that a run starts, and what can be seen there of a contender."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from support.nats_servers import NatsServer
from support.servers import ValkeyServer

if TYPE_CHECKING:
    from types import TracebackType

    from benchmarks.contenders import Contender


class Brokers:
    """One Redis-compatible server, one NATS server and one folder, for all contenders of a run."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._redis = stack.enter_context(ValkeyServer())
            self._nats = stack.enter_context(NatsServer())
            self._client = stack.enter_context(self._redis.client())
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def url(self, contender: Contender) -> str:
        match contender.broker:
            case "redis":
                return self._redis.url
            case "nats":
                return self._nats.url
            case _:
                return contender.url or ""

    def journal(self, contender: Contender) -> str | None:
        """Return the URL of where the contender keeps text; None if that is its broker."""
        return contender.journal and f"{contender.journal}:///{self._folder / 'answers.db'}"

    async def clear(self, contender: Contender) -> None:
        """Remove everything that the previous contender has left."""
        for kept in self._folder.iterdir():
            kept.unlink()
        match contender.broker:
            case "redis":
                await asyncio.to_thread(self._client.flushall)
            case "nats":
                await asyncio.to_thread(self._nats.restart)

    async def connections(self, contender: Contender) -> int:
        return await asyncio.to_thread(self._connections, contender)

    def _connections(self, contender: Contender) -> int:
        match contender.broker:
            case "redis":
                return int(self._client.info("clients")["connected_clients"]) - 1
            case "nats":
                return len(self._nats.connections())
            case _:
                return 0

    async def messages(self, contender: Contender) -> int:
        """Return how many commands or messages the server has received since it started."""
        return await asyncio.to_thread(self._messages, contender)

    def _messages(self, contender: Contender) -> int:
        match contender.broker:
            case "redis":
                return int(self._client.info("stats")["total_commands_processed"])
            case "nats":
                return int(self._nats.look("varz")["in_msgs"])
            case _:
                return 0

    async def received(self, contender: Contender) -> int:
        """Return how many bytes have come to the server; on NATS, those of messages alone."""
        return await asyncio.to_thread(self._received, contender)

    def _received(self, contender: Contender) -> int:
        match contender.broker:
            case "redis":
                return int(self._client.info("stats")["total_net_input_bytes"])
            case "nats":
                return int(self._nats.look("varz")["in_bytes"])
            case _:
                return 0

    async def memory(self, contender: Contender) -> int:
        return await asyncio.to_thread(self._memory, contender)

    def _memory(self, contender: Contender) -> int:
        match contender.broker:
            case "redis":
                return int(self._client.info("memory")["used_memory"])
            case "nats":
                return int(self._nats.look("varz")["mem"])
            case _:
                return 0

    async def keys(self, contender: Contender) -> tuple[int, int]:
        """Return how many keys there are, and how many of them never expire; Redis only."""
        return await asyncio.to_thread(self._keys, contender)

    def _keys(self, contender: Contender) -> tuple[int, int]:
        if contender.broker != "redis":
            return 0, 0
        found = self._client.info("keyspace").get("db0", {"keys": 0, "expires": 0})
        return found["keys"], found["keys"] - found["expires"]
