"""The laws of a subscription's life: it ends alone or with its backend, and reports losses."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from resumable_stream.ports import Loss
from resumable_stream_conformance._recorder import Recorder
from resumable_stream_conformance._suite import SuiteBase, rule

if TYPE_CHECKING:
    from resumable_stream.ports import PubSub

END = b"end of test"


class SubscriptionLaws(SuiteBase):
    """What a subscription promises."""

    @rule("PS-5", "P10")
    async def test_closed_subscription_stays_silent(self) -> None:
        """Once its ``aclose`` has returned, a subscription's handler is not called again."""
        listener, publisher = await self.connect_all(2)
        channel = self.name("left")
        left, later = Recorder(), Recorder()
        subscription = await left.subscribe(listener, channel)
        await publisher.publish(channel, b"heard")
        await left.until_received(b"heard")
        await subscription.aclose()
        await later.subscribe(listener, channel)
        await publisher.publish(channel, END)
        await later.until_received(END)
        assert left.messages == [b"heard"]
        assert later.messages == [END]

    @rule("PS-5", "P10")
    async def test_close_under_fire_is_final(self) -> None:
        """A subscription that is closed while messages pour in is not called again either."""
        listener, publisher = await self.connect_all(2)
        for turn in range(20):
            channel, beside = self.name(turn), self.name(f"{turn}.beside")
            left, fence = Recorder(), Recorder()
            subscription = await left.subscribe(listener, channel)
            await fence.subscribe(listener, beside)
            pouring = asyncio.ensure_future(_pour(publisher, channel, 60))
            await left.until_count(1 + turn)
            await subscription.aclose()
            heard = len(left.messages)
            await pouring
            await publisher.publish(beside, END)
            await fence.until_received(END)
            assert len(left.messages) == heard

    @rule("PS-5")
    async def test_unsubscribe_spares_the_sibling(self) -> None:
        """Closing one of two subscriptions to a channel on one adapter leaves the other live."""
        listener, publisher = await self.connect_all(2)
        for turn in range(20):
            channel = self.name(turn)
            left, stays = Recorder(), Recorder()
            order = (left, stays) if turn % 2 else (stays, left)
            handles = {recorder: await recorder.subscribe(listener, channel) for recorder in order}
            await handles[left].aclose()
            await publisher.publish(channel, END)
            await stays.until_received(END)
            assert stays.messages == [END]
            assert stays.losses == []

    @rule("PS-5")
    async def test_unsubscribe_spares_other_channels(self) -> None:
        """Closing a subscription leaves those to other channels live, on every adapter."""
        listener, publisher = await self.connect_all(2)
        left = Recorder()
        others = [Recorder() for _ in range(5)]
        subscription = await left.subscribe(listener, self.name(""))
        for number, recorder in enumerate(others):
            await recorder.subscribe(listener, self.name(number))
        elsewhere = Recorder()
        await elsewhere.subscribe(publisher, self.name(""))
        await subscription.aclose()
        for part in ("", *range(5)):
            await publisher.publish(self.name(part), END)
        for recorder in (*others, elsewhere):
            await recorder.until_received(END)

    @rule("PS-5")
    async def test_closing_twice_is_quiet(self) -> None:
        """Closing a subscription again, at the same time or later, raises and removes nothing."""
        listener, publisher = await self.connect_all(2)
        channel = self.name("twice")
        left, stays = Recorder(), Recorder()
        subscription = await left.subscribe(listener, channel)
        await asyncio.gather(subscription.aclose(), subscription.aclose())
        await stays.subscribe(listener, channel)
        await subscription.aclose()
        await publisher.publish(channel, END)
        await stays.until_received(END)
        await listener.aclose()
        await subscription.aclose()

    @rule("PS-7", needs="reported_loss")
    async def test_flood_arrives_or_reports_loss(self) -> None:
        """A subscriber that is too slow for a flood learns that it lost messages."""
        listener, publisher = await self.connect_all(2)
        channel = self.name("flood")
        recorder = Recorder()
        await recorder.subscribe(listener, channel)
        sent = [b"%d:" % number + b"x" * 1000 for number in range(6000)]
        for start in range(0, len(sent), 1000):
            await publisher.publish_many([(channel, m) for m in sent[start : start + 1000]])
            time.sleep(0.02)  # noqa: ASYNC251 - the loop is blocked on purpose
        await recorder.until(
            lambda: recorder.losses != [] or len(recorder.messages) == len(sent),
            "receives the whole flood or a loss",
        )
        await recorder.until_heard(publisher, channel, END)
        received = [message for message in recorder.messages if message != END]
        assert Loss.CLOSED not in recorder.losses
        assert recorder.losses or received == sent, "messages were lost without a report"
        positions = [int(message.partition(b":")[0]) for message in received]
        assert positions == sorted(set(positions)), "the flood was reordered or doubled"

    @rule("PS-7")
    async def test_quiet_subscription_reports_nothing(self) -> None:
        """If nothing was lost, no loss is reported."""
        listener, publisher = await self.connect_all(2)
        recorder = Recorder()
        await recorder.subscribe(listener, self.name("calm"))
        for number in range(50):
            await publisher.publish(self.name("calm"), b"%d" % number)
        await recorder.until_count(50)
        assert recorder.losses == []

    @rule("PS-8")
    async def test_handlers_run_on_the_loop(self) -> None:
        """Handlers are called on the event loop of the subscriber, and in no other thread."""
        listener, publisher = await self.connect_all(2)
        recorder = Recorder()
        await recorder.subscribe(listener, self.name("thread"))
        await publisher.publish(self.name("thread"), END)
        await recorder.until_received(END)
        await listener.aclose()
        await recorder.until_told(Loss.CLOSED)
        assert recorder.misplaced_calls == 0

    @rule("PS-8", "BE-3")
    async def test_closing_tells_live_subscriptions(self) -> None:
        """Closing tells each live subscription ``Loss.CLOSED``, once, and no closed one."""
        listener, publisher = await self.connect_all(2)
        live = [Recorder() for _ in range(3)]
        left = Recorder()
        for number, recorder in enumerate(live):
            await recorder.subscribe(listener, self.name(number % 2))
        await (await left.subscribe(listener, self.name(0))).aclose()
        await listener.aclose()
        for recorder in live:
            await recorder.until_told(Loss.CLOSED)
        await listener.aclose()
        await publisher.publish_many([(self.name(0), b"late"), (self.name(1), b"late")])
        fence = Recorder()
        await fence.subscribe(publisher, self.name(2))
        await publisher.publish(self.name(2), END)
        await fence.until_received(END)
        assert [recorder.losses for recorder in live] == [[Loss.CLOSED]] * 3
        assert [recorder.messages for recorder in (*live, left)] == [[]] * 4
        assert left.losses == []


async def _pour(publisher: PubSub, channel: str, count: int) -> None:
    for number in range(count):
        await publisher.publish(channel, b"%d" % number)
