"""The two ports through which a broker is reached, and the whole contract of an adapter.

The protocol core is written against :class:`KeyValue` and :class:`PubSub` and knows no broker. A
:class:`Backend` is both over one lifecycle, and may have two optional capabilities,
:class:`Renewals` and :class:`SubscriberCounts`. The rules named in brackets, such as [KV-2], are
those of ``conformance/PROTOCOL.md``; the conformance suite has a test for each.

Common to every method:

* All calls are made on one event loop, and may overlap.
* Constructing a backend does no input or output and needs no running loop. The backend connects at
  the first call, and reconnects by itself after a loss. [BE-1]
* No call waits for ever. A call that cannot reach the broker raises ``BackendUnavailableError``
  within some seconds, with the driver's error as its ``__cause__``. A call that the broker does not
  allow its user raises the subclass ``AccessDeniedError``, at once. Other failures are not reported
  as outages: a key that holds something other than a value raises ``WrongKeyTypeError``, and a
  mistake in a program raises ``BackendFaultError``, both at once. [BE-2]
* Cancelling a call is safe: later calls never see its reply, and a cancelled ``subscribe`` leaves
  nothing subscribed. It is unknown whether the cancelled call was executed. [BE-5]
* An adapter never repeats a write by itself. It raises ``BackendUnavailableError`` only if the
  operation was certainly not executed, and ``OutcomeUnknownError`` if it may have been: the core
  then reads back. [BE-6]
* Keys and channels are any non-empty text of up to 1,024 characters that UTF-8 can encode. The
  adapter maps them to the broker's own rules, injectively. [BE-4]
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "Backend",
    "KeyValue",
    "Loss",
    "PubSub",
    "Renewals",
    "SubscriberCounts",
    "Subscription",
]


class Loss(StrEnum):
    """Why messages of a subscription may have been lost."""

    OVERFLOW = "overflow"
    """Messages came faster than they were handled, or the server cut a slow reader off."""

    RECONNECTED = "reconnected"
    """The connection was lost. It is back, and the subscription is live again."""

    CLOSED = "closed"
    """The backend was closed: nothing will come any more."""


@runtime_checkable
class KeyValue(Protocol):
    """Linearizable text values, each of which expires.

    Each single key is linearizable across every adapter connected to the broker: a read that
    starts after a write has returned sees that write or a later one. [KV-1] Nothing is promised
    about two keys together. ``ttl`` is in whole seconds, at least 1, by the broker's clock; the key
    lives at least that long and is gone soon after, unless it is written again. [KV-5] A value is
    any text that UTF-8 can encode, the empty text included. Values of up to 64 KiB at least are
    accepted. [KV-6]
    """

    async def get(self, key: str) -> str | None:
        """Return the value; None if the key was never written, has expired or was deleted."""
        ...

    async def set(self, key: str, value: str, *, ttl: int) -> None:
        """Write the value, whatever was there, and set its time to live."""
        ...

    async def create(self, key: str, value: str, *, ttl: int) -> bool:
        """Write the value only if the key is absent, atomically; return whether it was written.

        Of any number of concurrent calls exactly one returns True. [KV-2] An expired key is absent.
        """
        ...

    async def compare_and_set(self, key: str, expected: str, value: str, *, ttl: int) -> bool:
        """Write the value only if the present one equals ``expected``, atomically [KV-3].

        Return whether it was written. ``value`` may equal ``expected``: this renews the time to
        live.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove the key, if there is one [KV-4]."""
        ...


@runtime_checkable
class Renewals(Protocol):
    """Optional: the backend renews many keys at the cost of few [KV-7].

    The core renews the leases of thousands of streams. A backend that would only call
    ``compare_and_set`` for each key leaves the method out.
    """

    async def renew_many(self, entries: Sequence[tuple[str, str]], *, ttl: int) -> Sequence[bool]:
        """Renew the time to live of each key that holds its value, in one round trip if possible.

        Each ``(key, value)`` pair is dealt with as ``compare_and_set(key, value, value)`` would:
        another value is left as it is, and an absent key stays absent. Nothing is promised about
        two keys together. A call that was cancelled, or has failed, may have renewed any of them.

        Return for each pair, in their order, True if the key was renewed. False says that it was
        not, or that this is not known: the core then calls ``compare_and_set`` for that key. So an
        error that concerns single keys is not raised but returned as False, and a backend may at
        any time return False for all, for example where each key is on another server.

        The core passes at most some hundred pairs, and makes several such calls at a time.

        Raises:
            BackendUnavailableError: no key was renewed.
            OutcomeUnknownError: any of them may have been renewed.
        """
        ...


@runtime_checkable
class Subscription(Protocol):
    """A live subscription."""

    async def aclose(self) -> None:
        """End this subscription and no other. Idempotent; raises nothing if the broker is away.

        Once it has returned, the handlers are not called again. [PS-5]
        """
        ...


@runtime_checkable
class PubSub(Protocol):
    """At-most-once messages, first-in first-out per channel from one adapter, without history.

    A message is any sequence of bytes, the empty one included. It reaches the live subscriptions to
    exactly its channel, unchanged, and no others. [PS-2]
    """

    @property
    def max_message_size(self) -> int:
        """The most bytes one message may carry, at least 4,096 [PS-6]."""
        ...

    async def publish(self, channel: str, message: bytes) -> None:
        """Hand one message to the broker.

        Messages of one adapter to one channel arrive in the order in which their ``publish`` and
        ``publish_many`` calls were made, even if the calls overlap. [PS-3]
        The return says nothing about receivers: if nobody is subscribed, the message is gone.
        [PS-4]

        Raises:
            MessageTooLargeError: the message exceeds ``max_message_size``; nothing was sent.
            BackendUnavailableError: the message was certainly not sent.
            OutcomeUnknownError: the message may have been sent.
        """
        ...

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish ``(channel, message)`` pairs in order, in one round trip if the broker can.

        It raises what ``publish`` raises: after ``BackendUnavailableError`` no message was sent,
        after ``OutcomeUnknownError`` any of them may have been.
        """
        ...

    async def subscribe(
        self,
        channel: str,
        on_message: Callable[[bytes], None],
        on_loss: Callable[[Loss], None],
    ) -> Subscription:
        """Subscribe, and return only once the server has confirmed the subscription.

        A message that anyone publishes after the return arrives, unless a loss is reported. There
        is one exception: a message that is published right after the return through another server
        of a cluster may be missed. A message from before the return may arrive, too. [PS-1]
        Both handlers are called on the event loop, one call at a time, in order; they do not block
        and do not raise. An adapter holds a bounded number of messages for a handler; beyond the
        bound it drops messages and reports ``Loss.OVERFLOW``. A subscription is never silently
        deaf: whenever messages may have been lost, ``on_loss`` is called once new ones arrive
        again. [PS-7] The subscription ends by its ``aclose``, or with ``Loss.CLOSED`` when the
        backend is closed. [PS-8]

        Raises:
            BackendUnavailableError: the broker did not confirm; nothing stays subscribed.
        """
        ...


@runtime_checkable
class SubscriberCounts(Protocol):
    """Optional: the broker counts a channel's subscriptions [PS-9].

    The core asks only about listeners of the npm package, which do not say when they leave. A
    backend whose broker has no such listeners, or cannot count, leaves the method out.
    """

    async def count_subscribers(self, channels: Sequence[str]) -> Sequence[int] | None:
        """Return the number of subscriptions to each channel, in the order of the channels.

        Subscriptions count wherever ``publish`` reaches them: on every adapter, and in other
        programs. A subscription that was confirmed before the call, and is still live when the call
        returns, is counted; several of one adapter may count as one. A subscription that was
        closed, or whose connection the broker knows to be lost, is soon no longer counted.

        None means that this broker never knows the number: in a cluster, for example, a node sees
        only its own subscribers. A number that may be too small is never returned.

        The core asks about at most some hundred channels at a time. The call is a read: it changes
        nothing, may be repeated, and is not ordered with messages.

        Raises:
            AccessDeniedError: the broker does not let its user ask; this counts as None.
            BackendUnavailableError: no answer came, and nothing is known.
        """
        ...


@runtime_checkable
class Backend(KeyValue, PubSub, Protocol):
    """Both ports over one lifecycle: what a URL scheme opens.

    A backend that can keep text has an attribute ``journal``, a
    :class:`~resumable_stream.journal.Journal` that is closed with it.

    A package offers a backend by an entry point in the group ``resumable_stream.backends``. Its
    name is the URL's scheme, and it loads a function ``(url: str) -> Backend``.
    """

    async def aclose(self) -> None:
        """Close what this backend opened, and nothing else. Idempotent [BE-3].

        Every live subscription gets ``Loss.CLOSED``; later calls raise
        ``BackendUnavailableError``.
        """
        ...
