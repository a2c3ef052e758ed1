"""Listeners of version 1 in a world: they come, vanish, or never were."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from support.world import ID, LEASE, NAMES, Peer

if TYPE_CHECKING:
    import pytest

    from support.world import World

# Two seconds, and a little more.
A_LOOK = 2.5
PATIENCE = LEASE + 2 * LEASE / 5 + 2 * A_LOOK
COUNT = "resumable_stream_memory.MemoryBackend.count_subscribers"


def nobody_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no backend have the capability."""
    monkeypatch.setattr(
        "resumable_stream._producing.v1_audience.SubscriberCounts", type("No", (), {})
    )


async def listening(here: World, name: str = "peer") -> Peer:
    """Begin a listener of version 1, and let it have what there is."""
    peer = await Peer(here, name).listen()
    await peer.ask(version=1)
    await asyncio.sleep(0.1)
    return peer


async def vanish(peer: Peer) -> None:
    for subscription in peer._subscriptions:
        await subscription.aclose()


def sent_to(here: World, name: str = "peer") -> list[str]:
    """What the producer's broker was given for the listener."""
    channel = NAMES.chunk(name)
    return [message.decode() for to, message in here.brokers[0].published if to == channel]


async def told(here: World, *names: str, stream_id: str = ID) -> None:
    """Ask for listeners that nobody has ever seen."""
    for name in names:
        request = b'{"listenerId":"%s"}' % name.encode()
        await here.raw.publish(NAMES.request(stream_id), request)
