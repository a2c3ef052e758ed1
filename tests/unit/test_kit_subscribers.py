"""The contract of ``adapter_kit.Subscribers``, without a broker."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import BackendUnavailableError, Loss
from resumable_stream.adapter_kit import (
    Channel,
    Subscriber,
    Subscribers,
    call_safely,
    deliver,
    report_loss,
)
from resumable_stream.ports import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = 60.0


class Hub:
    """Records which channels it is asked to join and to leave, and does neither."""

    def __init__(self, timeout: float = LONG) -> None:
        self.joined: list[Channel[str]] = []
        self.left: list[Channel[str]] = []
        self.subscribers: Subscribers[str] = Subscribers(
            self.joined.append,
            self.left.append,
            timeout=timeout,
            unconfirmed=lambda: BackendUnavailableError("not confirmed"),
        )

    async def ready(self, name: str, handler: Callable[[object], None] | None = None) -> Ear:
        """Subscribe, and confirm the channel."""
        ear = Ear(self, name, handler)
        await turns()
        if not ear.task.done():
            self.subscribers.confirm(self.subscribers.channels[name])
        await ear.task
        return ear


class Ear:
    """One subscription, with the messages and losses that it gets."""

    def __init__(
        self, hub: Hub, name: str, handler: Callable[[object], None] | None = None
    ) -> None:
        self.messages: list[bytes] = []
        self.losses: list[Loss] = []
        handlers = handler or self.messages.append, handler or self.losses.append
        self.task = asyncio.create_task(hub.subscribers.subscribe(name, *handlers))

    @property
    def subscriber(self) -> Subscriber:
        return self.task.result()


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_channel_is_joined_by_its_first_subscriber() -> None:
    hub = Hub()
    ears = [Ear(hub, name) for name in ("a", "a", "b")]
    await turns()
    assert [channel.name for channel in hub.joined] == ["a", "b"]
    assert list(hub.subscribers.channels.values()) == hub.joined
    for channel in hub.joined:
        hub.subscribers.confirm(channel)
    await asyncio.gather(*(ear.task for ear in ears))


async def test_a_subscriber_is_ready_once_its_channel_is_confirmed() -> None:
    hub = Hub()
    ears = [Ear(hub, "a"), Ear(hub, "a")]
    await turns()
    assert [ear.task.done() for ear in ears] == [False, False]
    assert not hub.joined[0].live
    hub.subscribers.confirm(hub.joined[0])
    assert hub.joined[0].live
    await asyncio.gather(*(ear.task for ear in ears))
    assert [ear.losses for ear in ears] == [[], []]
    assert isinstance(ears[0].subscriber, Subscription)


async def test_a_live_channel_is_subscribed_at_once() -> None:
    hub = Hub()
    await hub.ready("a")
    late = hub.subscribers.subscribe("a", print, print)
    with pytest.raises(StopIteration):
        late.send(None)
    assert len(hub.joined[0].subscribers) == 2


async def test_a_channel_is_left_by_its_last_subscriber() -> None:
    hub = Hub()
    ears = [await hub.ready("a"), await hub.ready("a")]
    await ears[0].subscriber.aclose()
    await ears[0].subscriber.aclose()
    assert (hub.left, [one.ended for one in hub.joined[0].subscribers]) == ([], [False])
    await ears[1].subscriber.aclose()
    assert (hub.left, hub.joined[0].subscribers) == (hub.joined, ())
    assert not hub.subscribers.channels


async def test_a_late_answer_is_not_about_the_channels_successor() -> None:
    hub = Hub()
    first = await hub.ready("a")
    await first.subscriber.aclose()
    second = Ear(hub, "a")
    await turns()
    hub.subscribers.confirm(hub.joined[0])
    hub.subscribers.refuse(BackendUnavailableError("refused"), hub.joined[0])
    await turns()
    assert not second.task.done()
    assert [channel.live for channel in hub.joined] == [False, False]
    hub.subscribers.confirm(hub.joined[1])
    await second.task
    assert hub.left == [hub.joined[0]]


async def test_confirming_again_tells_of_a_loss() -> None:
    hub = Hub()
    old = await hub.ready("a")
    hub.subscribers.interrupt()
    new = Ear(hub, "a")
    await turns()
    assert not new.task.done()
    hub.subscribers.confirm(hub.joined[0])
    await new.task
    assert (old.losses, new.losses) == ([Loss.RECONNECTED], [])


async def test_a_channel_that_nobody_confirms_is_given_up() -> None:
    hub = Hub(timeout=0.01)
    with pytest.raises(BackendUnavailableError, match="not confirmed"):
        await Ear(hub, "a").task
    assert (hub.left, dict(hub.subscribers.channels)) == (hub.joined, {})


async def test_cancelled_subscribing_leaves_nothing_behind() -> None:
    hub = Hub()
    ear = Ear(hub, "a")
    await turns()
    ear.task.cancel()
    await asyncio.wait([ear.task])
    assert (hub.left, dict(hub.subscribers.channels)) == (hub.joined, {})


async def test_a_join_that_fails_leaves_nothing_behind() -> None:
    def join(_channel: object) -> None:
        raise ValueError("broken")

    left: list[Any] = []
    subscribers: Subscribers[str] = Subscribers(
        join, left.append, timeout=LONG, unconfirmed=BackendUnavailableError
    )
    with pytest.raises(ValueError, match="broken"):
        await subscribers.subscribe("a", print, print)
    assert (len(left), dict(subscribers.channels)) == (1, {})


async def test_each_waiting_subscriber_is_refused_with_an_error_of_its_own() -> None:
    hub, refusal = Hub(), BackendUnavailableError("refused")
    refusal.__cause__ = OSError("why")
    waiting, other = [Ear(hub, "a"), Ear(hub, "a")], Ear(hub, "b")
    await turns()
    hub.subscribers.refuse(refusal, hub.joined[0])
    await asyncio.wait([ear.task for ear in waiting])
    errors = [ear.task.exception() for ear in waiting]
    assert [(str(error), error and error.__cause__) for error in errors] == [
        ("refused", refusal.__cause__)
    ] * 2
    assert len({id(error) for error in (*errors, refusal)}) == 3
    assert hub.left == [hub.joined[0]]
    assert not other.task.done()
    hub.subscribers.confirm(hub.joined[1])
    await other.task


async def test_refusing_leaves_ready_subscribers_alone() -> None:
    hub = Hub()
    old = await hub.ready("a")
    hub.subscribers.interrupt()
    new = Ear(hub, "a")
    await turns()
    hub.subscribers.refuse(BackendUnavailableError("refused"), hub.joined[0])
    with pytest.raises(BackendUnavailableError):
        await new.task
    assert hub.joined[0].subscribers == (old.subscriber,)
    assert (old.subscriber.ended, old.losses, hub.left) == (False, [], [])


async def test_all_that_wait_may_be_refused_at_once() -> None:
    hub = Hub()
    ears = [Ear(hub, "a"), Ear(hub, "b")]
    await turns()
    hub.subscribers.refuse(BackendUnavailableError("refused"))
    for ear in ears:
        with pytest.raises(BackendUnavailableError, match="refused"):
            await ear.task
    assert hub.left == hub.joined


async def test_closing_ends_all() -> None:
    hub = Hub()
    old, waiting = await hub.ready("a"), Ear(hub, "b")
    await turns()
    hub.subscribers.close(BackendUnavailableError("closed"))
    with pytest.raises(BackendUnavailableError, match="closed"):
        await waiting.task
    hub.subscribers.close(BackendUnavailableError("closed"))
    assert (old.losses, waiting.losses) == ([Loss.CLOSED], [])
    assert old.subscriber.ended
    assert set(hub.left) == set(hub.joined)
    assert not hub.subscribers.channels


async def test_a_subscriber_that_has_ended_hears_nothing() -> None:
    hub = Hub()
    first, second = await hub.ready("a"), await hub.ready("a")
    both = hub.joined[0].subscribers
    await first.subscriber.aclose()
    deliver(b"message", both)
    report_loss(Loss.OVERFLOW, both)
    hub.subscribers.confirm(hub.joined[0])
    assert (first.messages, first.losses) == ([], [])
    assert (second.messages, second.losses) == ([b"message"], [Loss.OVERFLOW, Loss.RECONNECTED])


# Each way in which handlers of a channel are called.
each_way = pytest.mark.parametrize(
    "tell",
    [
        lambda hub: deliver(b"message", hub.joined[0].subscribers),
        lambda hub: report_loss(Loss.OVERFLOW, hub.joined[0].subscribers),
        lambda hub: hub.subscribers.confirm(hub.joined[0]),
        lambda hub: hub.subscribers.close(BackendUnavailableError("closed")),
    ],
    ids=["message", "loss", "confirm", "close"],
)


@each_way
async def test_a_handler_that_ends_another_subscriber_has_ended_it(
    tell: Callable[[Hub], None],
) -> None:
    hub = Hub()
    heard: list[object] = []

    def end_last(argument: object) -> None:
        heard.append(argument)
        hub.subscribers.end(last.subscriber)

    await hub.ready("a", end_last)
    last = await hub.ready("a")
    tell(hub)
    assert (len(heard), last.messages, last.losses) == (1, [], [])


@each_way
async def test_a_handler_that_raises_deafens_nobody(tell: Callable[[Hub], None]) -> None:
    hub, broken, reported = Hub(), ValueError("broken"), reports()

    def fail(_argument: object) -> None:
        raise broken

    await hub.ready("a", fail)
    second = await hub.ready("a")
    tell(hub)
    assert len(second.messages) + len(second.losses) == 1
    assert [(one["message"], one["exception"]) for one in reported] == [
        ("a subscription's handler raised", broken)
    ]


async def test_any_handler_may_be_called_safely() -> None:
    heard: list[int] = []
    reported = reports()
    call_safely(heard.append, 1)
    call_safely(heard.remove, 2)
    assert heard == [1]
    assert [type(one["exception"]) for one in reported] == [ValueError]


async def test_nothing_is_reported_of_a_subscriber_that_was_given_up() -> None:
    reported = reports()
    hub = Hub()
    refused, closed, cancelled = Ear(hub, "a"), Ear(hub, "b"), Ear(hub, "c")
    await turns()
    hub.subscribers.refuse(BackendUnavailableError("refused"), hub.joined[0])
    cancelled.task.cancel()
    hub.subscribers.close(BackendUnavailableError("closed"))
    tasks = [ear.task for ear in (refused, closed, cancelled)]
    await asyncio.wait(tasks)
    for task in tasks:
        assert task.cancelled() or task.exception()
    del refused, closed, cancelled, tasks, task, hub
    gc.collect()
    assert reported == []


def reports() -> list[dict[str, Any]]:
    """Return a list of what the event loop's exception handler gets from now on."""
    reported: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: reported.append(context))
    return reported


async def test_a_cancelled_subscriber_is_not_told_that_it_was_confirmed() -> None:
    hub = Hub()
    ear = Ear(hub, "channel")
    await turns()
    ear.task.cancel()
    hub.subscribers.confirm(hub.joined[0])  # before the cancelled task has run
    await asyncio.wait({ear.task})
    assert ear.task.cancelled()
    assert not ear.losses
    assert hub.left == hub.joined
