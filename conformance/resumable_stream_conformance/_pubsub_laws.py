"""The laws of PubSub: live when subscribed, in order, unchanged, to one channel only."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resumable_stream.errors import MessageTooLargeError
from resumable_stream_conformance._names import ODD_NAMES
from resumable_stream_conformance._recorder import Recorder
from resumable_stream_conformance._suite import SuiteBase, rule

if TYPE_CHECKING:
    from resumable_stream.ports import PubSub

END = b"end of test"


class PubSubLaws(SuiteBase):
    """What PubSub promises of messages."""

    @rule("PS-1", "P1", needs="confirmed_subscribe")
    async def test_subscribe_returns_when_live(self) -> None:
        """A message that another connection publishes right after the return arrives."""
        listener, publisher = await self.connect_all(2)
        lost = 0
        for turn in range(300):
            recorder = Recorder()
            channel = self.name(turn)
            subscription = await recorder.subscribe(listener, channel)
            await publisher.publish(channel, b"at once")
            # Later messages that arrive prove that the first is not merely late.
            await recorder.until_heard(publisher, channel, END)
            lost += b"at once" not in recorder.messages
            await subscription.aclose()
        assert lost == 0, f"{lost} of 300 messages published after subscribe returned were lost"

    @rule("PS-1", needs="confirmed_subscribe")
    async def test_subscribing_again_is_live(self) -> None:
        """A channel that was left and is subscribed to again is live again."""
        listener, publisher = await self.connect_all(2)
        channel = self.name("again")
        for turn in range(100):
            recorder = Recorder()
            subscription = await recorder.subscribe(listener, channel)
            await publisher.publish(channel, b"%d" % turn)
            await recorder.until_received(b"%d" % turn)
            await subscription.aclose()

    @rule("PS-1", needs="confirmed_subscribe")
    async def test_concurrent_subscribes_are_live(self) -> None:
        """Each of several subscriptions made at the same time is live when its call returns."""
        listener, publisher = await self.connect_all(2)
        recorders = {self.name(number): Recorder() for number in range(60)}

        async def join(channel: str, recorder: Recorder) -> None:
            await recorder.subscribe(listener, channel)
            await publisher.publish(channel, channel.encode())

        await asyncio.gather(*(join(*pair) for pair in recorders.items()))
        for channel, recorder in recorders.items():
            await recorder.until_received(channel.encode())

    @rule("PS-2")
    async def test_every_subscription_receives(self) -> None:
        """A message reaches each live subscription to its channel once, on every adapter."""
        backends = await self.connect_all(3)
        channel = self.name("shared")
        recorders = [Recorder() for _ in range(6)]
        for recorder, backend in zip(recorders, backends * 2, strict=True):
            await recorder.subscribe(backend, channel)
        for number in range(20):
            await backends[number % 3].publish(channel, b"%d" % number)
        for recorder in recorders:
            await recorder.until_count(20)
        for backend in backends:
            await backend.publish(channel, END)
        for recorder in recorders:
            await recorder.until_count(23)
            assert recorder.messages.count(END) == 3

    @rule("PS-2")
    async def test_payload_arrives_unchanged(self) -> None:
        """A message is any bytes, even none, and arrives as it was published."""
        listener, publisher = await self.connect_all(2)
        recorder = Recorder()
        channel = self.name("binary")
        await recorder.subscribe(listener, channel)
        payloads = [
            b"",
            b"\0",
            bytes(range(256)),
            b"\r\n",
            b"+OK\r\nPING\r\n",
            b"\xff\xfe\x80",
            "\U0001f600".encode(),
            bytes(range(256)) * 64,
            END,
        ]
        for payload in payloads:
            await publisher.publish(channel, payload)
        await recorder.until_received(END)
        assert recorder.messages == payloads

    @rule("PS-2", "BE-4")
    async def test_odd_channels_stay_apart(self) -> None:
        """Any text of up to 1,024 characters is a channel, and hears no other channel."""
        listener, publisher = await self.connect_all(2)
        recorders = {self.name(odd): Recorder() for odd in ODD_NAMES}
        for channel, recorder in recorders.items():
            await recorder.subscribe(listener, channel)
        for ending in (b" first", END):
            await publisher.publish_many([(c, c.encode() + ending) for c in recorders])
        for channel, recorder in recorders.items():
            await recorder.until_received(channel.encode() + END)
        for channel, recorder in recorders.items():
            heard = [message.decode() for message in recorder.messages]
            assert heard == [channel + " first", channel + END.decode()]

    @rule("PS-2", "BE-4")
    async def test_wildcard_hears_nobody_else(self) -> None:
        """A channel whose whole name is a wildcard in some broker hears no other channel."""
        listener, publisher = await self.connect_all(2)
        wild = Recorder()
        for channel in (
            "*",
            ">",
            "**",
            "?*",
            "[a-z]*",
            f"{self.namespace}.*",
            f"{self.namespace}.>",
        ):
            await wild.subscribe(listener, channel)
        tame = Recorder()
        channel = self.name("tame")
        await tame.subscribe(listener, channel)
        for payload in (self.namespace.encode(), END):
            await publisher.publish(channel, payload)
        await tame.until_received(END)
        # Others may share this broker, and use such names: only our own message counts.
        assert self.namespace.encode() not in wild.messages

    @rule("PS-3", "P1", needs="ordered_delivery")
    async def test_overlapping_publishes_keep_order(self) -> None:
        """Messages arrive in the order of the calls, ``publish`` and ``publish_many`` mixed."""
        listener, publisher = await self.connect_all(2)
        for turn in range(5):
            channels = [self.name(f"{turn}.{number}") for number in range(3)]
            recorders = {channel: Recorder() for channel in channels}
            for channel, recorder in recorders.items():
                await recorder.subscribe(listener, channel)
            expected = await _publish_overlapping(publisher, channels)
            for channel, recorder in recorders.items():
                await recorder.until_count(len(expected[channel]))
                assert recorder.messages == expected[channel]

    @rule("PS-3", needs="ordered_delivery")
    async def test_batch_keeps_order(self) -> None:
        """``publish_many`` delivers in the order of its pairs, on every channel in it."""
        listener, publisher = await self.connect_all(2)
        channels = [self.name(number) for number in range(4)]
        recorders = {channel: Recorder() for channel in channels}
        for channel, recorder in recorders.items():
            await recorder.subscribe(listener, channel)
        batch = [(channels[n % 4], b"%d" % n) for n in range(400)]
        await publisher.publish_many(batch)
        await publisher.publish_many([])
        for channel, recorder in recorders.items():
            await recorder.until_count(100)
            assert recorder.messages == [message for c, message in batch if c == channel]

    @rule("PS-3", needs="ordered_delivery")
    async def test_each_publisher_keeps_its_order(self) -> None:
        """Publishers on different adapters each keep their own order on one channel."""
        listener, *publishers = await self.connect_all(4)
        channel = self.name("crowded")
        recorder = Recorder()
        await recorder.subscribe(listener, channel)

        async def publish(who: int, publisher: PubSub) -> None:
            for number in range(100):
                await publisher.publish(channel, b"%d %d" % (who, number))

        await asyncio.gather(*(publish(*pair) for pair in enumerate(publishers)))
        await recorder.until_count(300)
        for who in range(3):
            own = [m for m in recorder.messages if m.startswith(b"%d " % who)]
            assert own == [b"%d %d" % (who, number) for number in range(100)]

    @rule("PS-4")
    async def test_publish_to_nobody_succeeds(self) -> None:
        """With nobody subscribed the message is gone, and that is no error."""
        backend = await self.connect()
        channel = self.name("nobody")
        await backend.publish(channel, b"gone")
        await backend.publish_many([(channel, b"gone")] * 3)

    @rule("PS-4")
    async def test_no_history_is_kept(self) -> None:
        """A subscription gets no message that was delivered before it was made."""
        listener, publisher = await self.connect_all(2)
        channel = self.name("history")
        early, late = Recorder(), Recorder()
        await early.subscribe(publisher, channel)
        await publisher.publish(channel, b"before")
        await early.until_received(b"before")
        await late.subscribe(listener, channel)
        await publisher.publish(channel, END)
        await late.until_received(END)
        assert late.messages == [END]

    @rule("PS-6")
    async def test_largest_message_arrives(self) -> None:
        """A message of exactly ``max_message_size`` bytes, at least 4,096, arrives whole."""
        listener, publisher = await self.connect_all(2)
        size = publisher.max_message_size
        assert size >= 4096
        channel = self.name("large")
        recorder = Recorder()
        await recorder.subscribe(listener, channel)
        largest = (bytes(range(256)) * (size // 256 + 1))[:size]
        await publisher.publish(channel, largest)
        await publisher.publish_many([(channel, largest), (channel, END)])
        await recorder.until_received(END)
        # Compared by hand: an assertion would print both.
        same = recorder.messages == [largest, largest, END]
        assert same, f"got messages of {[len(message) for message in recorder.messages]} bytes"

    @rule("PS-6")
    async def test_oversize_message_is_refused(self) -> None:
        """A message one byte too long raises ``MessageTooLargeError`` and changes nothing else."""
        listener, publisher = await self.connect_all(2)
        channel = self.name("oversize")
        recorder, beside = Recorder(), Recorder()
        await recorder.subscribe(listener, channel)
        await beside.subscribe(publisher, channel)
        oversize = bytes(publisher.max_message_size + 1)
        for _ in range(3):
            with pytest.raises(MessageTooLargeError):
                await publisher.publish(channel, oversize)
            with pytest.raises(MessageTooLargeError):
                await publisher.publish_many([(channel, oversize)])
        await publisher.publish(channel, END)
        for each in (recorder, beside):
            await each.until_received(END)
            assert [len(message) for message in each.messages] == [len(END)]
            assert each.losses == []


async def _publish_overlapping(publisher: PubSub, channels: list[str]) -> dict[str, list[bytes]]:
    """Start some hundred publishes at once; return the messages that each channel must get."""
    expected: dict[str, list[bytes]] = {channel: [] for channel in channels}
    calls = []
    for number in range(200):
        channel = channels[number % len(channels)]
        # Sizes differ, so that an adapter that sends in parallel gets them out of order.
        messages = [b"%d.%d:" % (number, part) + b"x" * (number * 37 % 2000) for part in range(3)]
        if number % 5 == 0:
            expected[channel] += messages
            calls.append(publisher.publish_many([(channel, message) for message in messages]))
        else:
            expected[channel].append(messages[0])
            calls.append(publisher.publish(channel, messages[0]))
    await asyncio.gather(*calls)
    return expected
