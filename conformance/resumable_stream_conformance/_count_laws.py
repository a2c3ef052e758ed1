"""The laws of counting subscribers, for backends that declare that they can."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from resumable_stream.errors import BackendUnavailableError
from resumable_stream.ports import SubscriberCounts
from resumable_stream_conformance._recorder import PATIENCE, Recorder
from resumable_stream_conformance._suite import SuiteBase, rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable_stream.ports import Backend

MANY = 300


class CountLaws(SuiteBase):
    """What the number of a channel's subscribers says."""

    @rule("PS-9", needs="counts_subscribers")
    async def test_subscribers_are_counted_everywhere(self) -> None:
        """A confirmed subscription is counted for every adapter, and for no other channel."""
        here, there = await self.connect_all(2)
        channel, other = self.name("counted"), self.name("not counted")
        for turn in range(20):
            ours, theirs = f"{channel}.{turn}.ours", f"{channel}.{turn}.theirs"
            await Recorder().subscribe(here, ours)
            await Recorder().subscribe(there, theirs)
            for backend in (here, there):
                counts = await count(backend, [other, theirs, ours])
                assert [number > 0 for number in counts] == [False, True, True]

    @rule("PS-9", needs="counts_subscribers")
    async def test_counts_come_in_the_order_asked(self) -> None:
        """The counts come in the order asked: for some hundred channels, for none, for a repeat."""
        here, there = await self.connect_all(2)
        channels = [self.name(number) for number in range(MANY)]
        recorder = Recorder()
        await asyncio.gather(*(recorder.subscribe(here, one) for one in channels[::3]))
        counts = await count(there, channels)
        assert [number for number in range(MANY) if counts[number]] == list(range(0, MANY, 3))
        assert await count(there, []) == []
        twice = await count(there, [channels[0], channels[1], channels[0]])
        assert [number > 0 for number in twice] == [True, False, True]

    @rule("PS-9", needs="counts_subscribers")
    async def test_last_subscriber_makes_the_difference(self) -> None:
        """A channel is no longer counted soon after its last subscription was closed."""
        here, there = await self.connect_all(2)
        channel = self.name("left")
        first = await Recorder().subscribe(here, channel)
        second = await Recorder().subscribe(here, channel)
        elsewhere = await Recorder().subscribe(there, channel)
        for subscription in (first, elsewhere):
            await subscription.aclose()
            assert await count(there, [channel]) > [0]
        await second.aclose()
        await self._until_uncounted(there, channel)

    @rule("PS-9", "BE-3", needs="counts_subscribers")
    async def test_closed_adapters_are_not_counted(self) -> None:
        """The subscriptions of a closed backend are soon no longer counted."""
        here, there = await self.connect_all(2)
        channel = self.name("gone")
        await Recorder().subscribe(here, channel)
        assert await count(there, [channel]) > [0]
        await here.aclose()
        await self._until_uncounted(there, channel)
        with pytest.raises(BackendUnavailableError):
            await count(here, [channel])

    @rule("PS-9", "BE-4", needs="counts_subscribers")
    async def test_odd_channels_are_counted_apart(self) -> None:
        """A subscription counts for exactly its channel, whatever its name means to the broker."""
        here, there = await self.connect_all(2)
        prefix = self.name("odd")
        odd = [f"{prefix}.*", f"{prefix}.>", f"{prefix}.?", f"{prefix}.[a]", f"{prefix} b"]
        plain = [f"{prefix}.a", f"{prefix}.A", f"{prefix}.a.b", prefix, f"{prefix}.é", f"{prefix} "]
        for channel in odd:
            await Recorder().subscribe(here, channel)
        assert all(await count(there, odd))
        assert not any(await count(there, plain))

    async def _until_uncounted(self, backend: Backend, channel: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while await count(backend, [channel]) != [0]:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)


async def count(backend: Backend, channels: Sequence[str]) -> list[int]:
    assert isinstance(backend, SubscriberCounts), "counts_subscribers needs count_subscribers()"
    counts = await backend.count_subscribers(channels)
    assert counts is not None, "a backend that declares counts_subscribers must not return None"
    return list(counts)
