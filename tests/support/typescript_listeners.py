"""Listeners of version 1 in a world: they come, vanish, or never existed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from support.world import ID, LEASE, NAMES, Peer

if TYPE_CHECKING:
    import pytest

    from support.world import World

# A producer looks for its listeners every two seconds; this is a little more.
A_LOOK = 2.5
PATIENCE = LEASE + 2 * LEASE / 5 + 2 * A_LOOK
COUNT = "resumable_stream_memory.MemoryBackend.count_subscribers"


def nobody_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no backend be able to count subscribers."""
    monkeypatch.setattr(
        "resumable_stream._producing.v1_audience.SubscriberCounts", type("No", (), {})
    )


async def listening(here: World, name: str = "peer") -> Peer:
    """Start a listener of version 1, and let it receive the present text."""
    peer = await Peer(here, name).listen()
    await peer.ask(version=1)
    await asyncio.sleep(0.1)
    return peer


async def vanish(peer: Peer) -> None:
    for subscription in peer._subscriptions:
        await subscription.aclose()


def sent_to(here: World, name: str = "peer") -> list[str]:
    """Return the messages that the producer has published to the listener."""
    channel = NAMES.chunk(name)
    return [message.decode() for to, message in here.brokers[0].published if to == channel]


async def told(here: World, *names: str, stream_id: str = ID) -> None:
    """Send a request of version 1 in the name of each listener."""
    for name in names:
        request = b'{"listenerId":"%s"}' % name.encode()
        await here.raw.publish(NAMES.request(stream_id), request)
