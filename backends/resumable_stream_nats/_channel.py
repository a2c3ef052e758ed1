"""One subject, those who are subscribed to it, and what nats-py delivers its messages through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resumable_stream.ports import Loss
from resumable_stream_nats._line import call_safely

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription as NatsSubscription

    from resumable_stream_nats._hub import HubSubscription
    from resumable_stream_nats._line import Line


class Channel:
    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.subscribers: tuple[HubSubscription, ...] = ()
        self.line: Line | None = None
        """The line on which the server has confirmed it."""
        self.interest: Interest | None = None
        self.denied_until = 0.0


class Interest:
    """What nats-py delivers a channel's messages through."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._handled = 0
        self._dropped = 0
        self.subscription: NatsSubscription | None = None

    async def receive(self, msg: Msg) -> None:
        if self._channel.interest is not self:
            return  # of a connection that was lost, which is told of
        self._handled += 1
        for subscriber in self._channel.subscribers:
            if not subscriber.ended:
                call_safely(subscriber.on_message, msg.data)
        if self._has_dropped():
            for subscriber in self._channel.subscribers:
                if not subscriber.ended:
                    call_safely(subscriber.on_loss, Loss.OVERFLOW)

    def _has_dropped(self) -> bool:
        """Beyond its limits nats-py drops what is newest, and tells only the client's owner."""
        if self.subscription is None:
            return False
        waiting = self.subscription.pending_msgs
        known, self._dropped = self._dropped, self.subscription.delivered - waiting - self._handled
        return self._dropped > known
