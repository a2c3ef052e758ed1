"""A floor: nats-py, one client that publishes and subscribes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import nats

from benchmarks.agent.adapters.floor import Floor

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.client import Client
    from nats.aio.msg import Msg


class NatsPy:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def publish(self, channel: str, message: bytes) -> None:
        await self._client.publish(channel, message)

    async def subscribe(self, channel: str, handler: Callable[[bytes], None]) -> None:
        async def on_message(message: Msg) -> None:
            handler(message.data)

        await self._client.subscribe(
            channel, cb=on_message, pending_msgs_limit=0, pending_bytes_limit=0
        )
        # flush overtakes what is queued, unless the writer has had a turn before.
        await asyncio.sleep(0)
        await self._client.flush()

    async def aclose(self) -> None:
        await self._client.close()


async def create(url: str) -> Floor:
    return Floor(NatsPy(await nats.connect(url.partition("?")[0])))
