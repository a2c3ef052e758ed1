"""The two ports that a broker is reached through, and the whole contract of an adapter.

The protocol core is written against :class:`KeyValue` and :class:`PubSub` and knows no broker. A
:class:`Backend` is both over one lifecycle, and may have one capability more,
:class:`SubscriberCounts`. The rules named in brackets, such as [KV-2], are those
of ``conformance/PROTOCOL.md``; the conformance suite has a test for each.

Common to every method:

* All of it runs on one event loop. Methods may be called concurrently.
* Constructing a backend does no input or output and needs no running loop: it connects at the first
  call, and again by itself after a loss. [BE-1]
* No call waits for ever. One that cannot reach the broker raises ``BackendUnavailableError`` within
  some seconds, with the driver's error as its ``__cause__``; its subclass ``AccessDeniedError``, at
  once, where the broker does not let its user do this. What is no outage is not told as one: a key
  that holds something else than a value raises ``WrongKeyTypeError``, and a mistake in a program
  ``BackendFaultError``, at once. [BE-2]
* Cancelling a call is safe: later calls never see its reply, and a cancelled ``subscribe`` leaves
  nothing subscribed. Whether it was executed is unknown. [BE-5]
* An adapter never repeats a write by itself. It raises ``BackendUnavailableError`` if the operation
  was surely not executed and ``OutcomeUnknownError`` if it may have been; the core reads back.
  [BE-6]
* Keys and channels are any non-empty text of up to 1,024 characters that UTF-8 can encode. The
  adapter maps them to the broker's own rules, injectively. [BE-4]
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Backend", "KeyValue", "Loss", "PubSub", "SubscriberCounts", "Subscription"]


class Loss(StrEnum):
    """Why messages of a subscription may have been lost."""

    OVERFLOW = "overflow"
    """They came faster than they were handled, or the server cut a slow reader off."""

    RECONNECTED = "reconnected"
    """The connection was lost. It is back, and the subscription is live again."""

    CLOSED = "closed"
    """The backend was closed: nothing will come any more."""


@runtime_checkable
class KeyValue(Protocol):
    """Linearizable text values, each of which expires.

    Each key on its own is linearizable across every adapter connected to the broker: a read that
    starts after a write has returned sees that write or a later one. [KV-1] Nothing is promised
    about two keys together. ``ttl`` is in whole seconds, at least 1, by the broker's clock; the key
    lives at least that long and is gone soon after, unless it is written again. [KV-5] A value is
    any text that UTF-8 can encode, the empty one included, up to at least 64 KiB. [KV-6]
    """

    async def get(self, key: str) -> str | None:
        """Return the value; None if it is gone, expired or was never written."""
        ...

    async def set(self, key: str, value: str, *, ttl: int) -> None:
        """Write the value whatever was there, and set its time to live."""
        ...

    async def create(self, key: str, value: str, *, ttl: int) -> bool:
        """Write the value only if the key is absent, atomically; tell whether it was written.

        Of any number of concurrent calls exactly one returns True. [KV-2] An expired key is absent.
        """
        ...

    async def compare_and_set(self, key: str, expected: str, value: str, *, ttl: int) -> bool:
        """Write the value only if the present one equals ``expected``, atomically [KV-3].

        Tell whether it was written. ``value`` may equal ``expected``: this renews the time to live.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove the key, if it is there [KV-4]."""
        ...


@runtime_checkable
class Subscription(Protocol):
    """A live subscription."""

    async def aclose(self) -> None:
        """End this subscription and no other. Idempotent; raises nothing for a broker that is away.

        Once it has returned, the handler is not called again. [PS-5]
        """
        ...


@runtime_checkable
class PubSub(Protocol):
    """At-most-once messages, first-in first-out per channel from one adapter, without history.

    A message is any bytes, none included. It reaches the live subscriptions to exactly its channel,
    unchanged, and no others. [PS-2]
    """

    @property
    def max_message_size(self) -> int:
        """The most bytes one message may carry, at least 4,096 [PS-6]."""
        ...

    async def publish(self, channel: str, message: bytes) -> None:
        """Hand one message to the broker.

        Messages of one adapter to one channel arrive in the order in which their ``publish`` calls
        were made, also when the calls overlap, and also with those of ``publish_many``. [PS-3]
        Returning says nothing about receivers: with nobody subscribed the message is gone. [PS-4]

        Raises:
            MessageTooLargeError: over ``max_message_size``; nothing was sent.
            BackendUnavailableError: surely not sent.
            OutcomeUnknownError: perhaps sent.
        """
        ...

    async def publish_many(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish ``(channel, message)`` pairs in order, in one round trip where the broker can.

        Raises as ``publish`` does: after ``BackendUnavailableError`` none of them was sent, after
        ``OutcomeUnknownError`` any part of them may have been.
        """
        ...

    async def subscribe(
        self,
        channel: str,
        on_message: Callable[[bytes], None],
        on_loss: Callable[[Loss], None],
    ) -> Subscription:
        """Subscribe, and return only once the server has confirmed it.

        A message that anyone publishes after the return arrives, unless a loss is reported; only in
        a cluster, and through another server than this adapter's, it may come too early. One from
        before the return may arrive, too. [PS-1]
        Both handlers are called on the event loop, one call at a time, in order; they do not block
        and do not raise. The messages an adapter holds for a handler are bounded; beyond the bound
        it drops and reports ``Loss.OVERFLOW``. A subscription is never silently deaf: whenever
        messages may have been lost, ``on_loss`` is called once new ones arrive again. [PS-7] It
        ends by its ``aclose``, or with ``Loss.CLOSED`` when the backend is closed. [PS-8]

        Raises:
            BackendUnavailableError: the broker did not confirm; nothing stays subscribed.
        """
        ...


@runtime_checkable
class SubscriberCounts(Protocol):
    """Optional: the broker tells how many subscriptions a channel has [PS-9].

    The core asks it only about listeners of the npm package, which cannot say that they leave. A
    backend whose broker serves none of them, or cannot count, leaves the method out.
    """

    async def count_subscribers(self, channels: Sequence[str]) -> Sequence[int] | None:
        """Return how many subscriptions each of the channels has, in their order.

        They are counted everywhere that ``publish`` reaches: on every adapter, and those of other
        programs. A subscription that was confirmed before the call, and is still live when the call
        returns, is counted; several of one adapter may count as one. One that was closed, or whose
        connection the broker knows to be lost, is not counted soon after.

        None says that this broker cannot tell, now or later: a node of a cluster, say, that sees
        only its own subscribers. A number that may be too small is never returned.

        At most some hundred channels are asked about at a time. The call is a read: it changes
        nothing, may be repeated, and has no place in the order of messages.

        Raises:
            AccessDeniedError: the broker does not let its user ask; taken for None.
            BackendUnavailableError: no answer came, and nothing is known.
        """
        ...


@runtime_checkable
class Backend(KeyValue, PubSub, Protocol):
    """Both ports over one lifecycle: what a URL scheme opens.

    A package offers one by an entry point in the group ``resumable_stream.backends``, named as the
    URL's scheme, that loads a function ``(url: str) -> Backend``.
    """

    async def aclose(self) -> None:
        """Close what this backend opened, and nothing else. Idempotent [BE-3].

        Every live subscription is told ``Loss.CLOSED``; later calls raise
        ``BackendUnavailableError``.
        """
        ...
