"""Several nodes: what is away holds up nothing elsewhere."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resumable_stream.errors import BackendUnavailableError
from resumable_stream_redis._nodes import Nodes
from resumable_stream_redis._topology import MESSAGE_NODE, from_url
from support.servers import ValkeyServer

if TYPE_CHECKING:
    from redis.exceptions import AskError

    from resumable_stream_redis._driver import Connection


class Named:
    """A topology in which a key begins with the URL of its node."""

    is_one_server = False
    watch = None

    async def locate(self, key: bytes, limit: float) -> str:
        return key.decode().rpartition("#")[0]

    async def open(self, node: str) -> Connection:
        return await from_url(node).open(MESSAGE_NODE)

    def renew(self) -> None: ...

    def redirected(self, node: str, error: AskError) -> str:
        raise error


async def test_hanging_node_takes_no_turns_from_others(valkey: ValkeyServer) -> None:
    nodes = Nodes(Named(), 1, at_once=2)
    with ValkeyServer() as hanging:
        here, there = f"{valkey.url}#key".encode(), f"{hanging.url}#key".encode()
        assert await nodes.execute(there, b"GET", there, write=False) is None
        hanging.freeze()
        stuck = [
            asyncio.create_task(nodes.execute(there, b"GET", there, write=False)) for _ in range(6)
        ]
        await asyncio.sleep(0)
        assert await nodes.execute(here, b"SET", here, b"1", write=True) == b"OK"
        assert not any(task.done() for task in stuck)
        for task in stuck:
            with pytest.raises(BackendUnavailableError):
                await task
        hanging.thaw()
    await nodes.aclose()
