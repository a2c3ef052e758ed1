"""The signs of life of an instance's readers, as their broker takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable_stream._protocol.wire import Request, RequestType, decode_request
from support.world import ID, LEASE, NAMES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from support.world import Broker

INTERVAL = LEASE / 5
# A sign comes up to a tick late.
TICK = 0.03


def requests(broker: Broker) -> list[Request]:
    """Return what the instance has asked of the producer and the broker has taken."""
    decoded = [decode_request(m) for channel, m in broker.published if channel == NAMES.request(ID)]
    return [request for request in decoded if request is not None]


def is_sign(request: Request | None) -> bool:
    return request is not None and request.type is RequestType.READ and not request.window


def signs(broker: Broker) -> list[Request]:
    return [request for request in requests(broker) if is_sign(request)]


def leavers(broker: Broker) -> set[str]:
    return {r.listener_id for r in requests(broker) if r.type is RequestType.LEAVE}


def meet_signs(broker: Broker, meet: Callable[[], Awaitable[None]]) -> None:
    """Await ``meet`` before each sign of life reaches the broker, or instead if it raises."""
    publish_many = broker.publish_many

    async def met(messages: Sequence[tuple[str, bytes]]) -> None:
        if any(is_sign(decode_request(message)) for _, message in messages):
            await meet()
        await publish_many(messages)

    broker.publish_many = met  # type: ignore[method-assign]
