"""What a channel's messages come through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable_stream.adapter_kit import deliver
from resumable_stream_nats._driver import Receiver

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from resumable_stream.adapter_kit import Channel


class Interest:
    """A channel's subscription on one line.

    Attributes:
        client: whose connection it is on.
        receiver: the driver's subscription.
        retry_at: when a subject that the server denied is tried again, by the event loop's clock.
    """

    __slots__ = ("_channel", "client", "receiver", "retry_at")

    def __init__(self, channel: Channel[str], client: Client) -> None:
        self._channel = channel
        self.client = client
        self.retry_at = 0.0
        self.receiver = Receiver(client, channel.name, self._receive)

    def _receive(self, message: Msg) -> None:
        deliver(message.data, self._channel.subscribers)
