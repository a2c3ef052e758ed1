"""What nats-py delivers a channel's messages through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable_stream.adapter_kit import deliver, report_loss
from resumable_stream.ports import Loss

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription as NatsSubscription

    from resumable_stream.adapter_kit import Channel


class Interest:
    """A channel's subscription on one line.

    Attributes:
        over: the channel was left, or has another interest by now.
        subscription: nats-py's own, once there is one.
        retry_at: when a subject that the server denied is tried again, by the event loop's clock.
    """

    def __init__(self, channel: Channel[str]) -> None:
        self.over = False
        self.subscription: NatsSubscription | None = None
        self.retry_at = 0.0
        self._channel = channel
        self._handled = 0
        self._dropped = 0

    async def receive(self, msg: Msg) -> None:
        if self.over:
            return  # its successor reports what is lost
        self._handled += 1
        deliver(msg.data, self._channel.subscribers)
        if self._has_dropped():
            report_loss(Loss.OVERFLOW, self._channel.subscribers)

    def _has_dropped(self) -> bool:
        """Beyond its limits nats-py drops the newest messages, and tells only the client's user."""
        if self.subscription is None:
            return False
        waiting = self.subscription.pending_msgs
        known, self._dropped = self._dropped, self.subscription.delivered - waiting - self._handled
        return self._dropped > known
