"""The promises about cost: local readers do not wait for the broker, nothing is wasted or left."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

from resumable_stream_conformance._faulty import FaultyBackend
from resumable_stream_conformance._stage import (
    CHUNKS,
    PATIENCE,
    SLACK,
    Source,
    Stage,
    read,
    read_until,
    until,
)
from resumable_stream_conformance._suite import rule

if TYPE_CHECKING:
    from resumable_stream_conformance._stage import ObservedInstance

HALF = 30


class EconomyLaws(Stage):
    """P6, P8, P10: what streams cost."""

    @rule("P6")
    async def test_outage_leaves_local_reader_alone(self) -> None:
        """While the broker is away the source goes on, and its local reader gets all of it."""
        flaky = FaultyBackend(await self.connect())
        here = await self.instance(flaky)
        source = Source(hold_at=HALF)
        reader = await here.start(source)
        await source.reached.wait()
        flaky.cut_off()
        source.go.set()
        async with asyncio.timeout(SLACK):
            assert await read(reader) == list(CHUNKS)
        flaky.restore()

    @rule("P6", "P1")
    async def test_remote_reader_continues_after_outage(self) -> None:
        """Text that was produced while the broker was away reaches remote readers afterwards."""
        flaky = FaultyBackend(await self.connect())
        here, there = await self.instance(flaky), await self.instance()
        source = Source(hold_at=HALF)
        await here.start(source)
        remote = await there.resume()
        begun = await read_until(remote, source.before(HALF))
        flaky.cut_off()
        source.go.set()
        await source.closed.wait()
        flaky.restore()
        assert "".join(begun + await read(remote)) == source.text

    @rule("P6", within=60)
    async def test_lost_keys_are_created_again(self) -> None:
        """A broker that lost its keys gets the sentinel again, and readers continue."""
        here, there, side = await self.instances(3)
        source = Source(hold_at=HALF)
        await here.start(source)
        remote = await there.resume()
        begun = await read_until(remote, source.before(HALF))
        claim = await side.backend.get(self.sentinel)
        await side.backend.delete(self.sentinel)
        async with asyncio.timeout(PATIENCE):
            while await side.backend.get(self.sentinel) != claim:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.02)
        late = await side.resume()
        source.go.set()
        assert "".join(begun + await read(remote)) == source.text
        assert "".join(await read(late)) == source.text

    @rule("P8")
    async def test_unread_stream_costs_next_to_nothing(self) -> None:
        """Without a remote reader: one claim, one subscription, two writes at the end."""
        here = await self.instance(lease=15.0, grace=0)
        source = Source([f"{number} " for number in range(2000)])
        assert len(await read(await here.start(source))) == 2000
        await self._until_idle(here)
        calls = here.backend.calls
        assert calls["publish"] == 0
        assert calls["subscribe"] == 1
        assert here.backend.writes <= 3
        assert calls["get"] <= 2

    @rule("P8")
    async def test_claim_is_renewed_sparingly(self) -> None:
        """A stream that runs on writes its lease a few times per lease, and nothing else."""
        here = await self.instance(grace=0)
        source = Source(pause=0.05)
        await read(await here.start(source))
        await self._until_idle(here)
        assert here.backend.calls["publish"] == 0
        # The stream lasts some three seconds, a lease two.
        assert here.backend.writes <= 3 + 12

    @rule("P8")
    async def test_many_readers_share_live_text(self) -> None:
        """Live text is published once per stream, not once per reader."""
        here, *others = await self.instances(6)
        source = Source([f"{number} " for number in range(300)], hold_at=1, pause=0.001)
        await here.start(source)
        readers = [await instance.resume() for instance in others]
        for reader in readers:
            await read(reader, 1)
        # Let every reader catch up and follow before the text goes on.
        await asyncio.sleep(0.3)
        before = here.backend.calls["publish"]
        source.go.set()
        for reader in readers:
            assert "".join(await read(reader)) == source.text[2:]
        assert here.backend.calls["publish"] - before < 2 * len(source.chunks)

    @rule("P10")
    async def test_ended_stream_leaves_nothing(self) -> None:
        """After a stream's end no task and no subscription is left on any instance."""
        here, there = await self.instances(2, grace=0)
        await here.backend.get("anything")
        await there.backend.get("anything")
        before = asyncio.all_tasks()
        for turn in range(3):
            source = Source(hold_at=HALF)
            local = await here.context.resumable_stream(f"stream {turn}", source)
            remote = await there.context.resume_existing_stream(f"stream {turn}")
            assert local is not None
            assert remote
            source.go.set()
            for reader in (local, remote):
                assert "".join(await read(reader)) == source.text
        await self._until_idle(here, there)
        await until(lambda: asyncio.all_tasks() <= before, "every task has ended")

    @rule("P10")
    async def test_leaving_reader_leaves_nothing(self) -> None:
        """A remote reader that leaves, closed, cancelled or dropped, leaves no subscription."""
        here, there = await self.instances(2)
        source = Source(hold_at=HALF)
        await here.start(source)
        await source.reached.wait()
        await read(await there.resume(), 3)
        await self._until_idle(there)
        before = asyncio.all_tasks()
        closed = await there.resume()
        await read(closed, 3)
        await closed.aclose()
        await self._until_idle(there)
        waiting = await there.resume()
        await read_until(waiting, source.before(HALF))
        reading = asyncio.ensure_future(read(waiting))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        del waiting, reading
        await read(await there.resume(), 3)
        gc.collect()
        await self._until_idle(there)
        await until(lambda: asyncio.all_tasks() <= before, "every reader's task has ended")

    @rule("P10", "P8")
    async def test_publishing_stops_with_last_reader(self) -> None:
        """Once the last remote reader has left, nothing is published any more."""
        here, there = await self.instances(2, grace=0)
        source = Source([f"{number} " for number in range(200)], hold_at=10, pause=0.002)
        local = await here.start(source)
        remote = await there.resume()
        await read(remote, 10)
        await remote.aclose()
        await asyncio.sleep(0.3)
        before = here.backend.calls["publish"]
        source.go.set()
        assert "".join(await read(local)) == source.text
        await self._until_idle(here)
        assert here.backend.calls["publish"] - before <= 2

    @rule("P10")
    async def test_abandoned_handshake_leaves_nothing(self) -> None:
        """An attach that is cancelled at any point leaves no task and no subscription."""
        here, there = await self.instances(2)
        source = Source(hold_at=HALF)
        await here.start(source)
        await source.reached.wait()
        await read(await there.resume(), 3)
        await self._until_idle(there)
        before = asyncio.all_tasks()
        for turn in range(30):
            await _attach_and_give_up(there, turn)
        gc.collect()
        await self._until_idle(there)
        await until(lambda: asyncio.all_tasks() <= before, "every handshake's task has ended")

    @rule("P10", within=60)
    async def test_state_is_forgotten_in_time(self) -> None:
        """An ended stream is forgotten after ``done_ttl``, and its id is free again."""
        here, there = await self.instances(2, done_ttl=2.0)
        await read(await here.start(Source()))
        await self._until_idle(here)
        async with asyncio.timeout(PATIENCE):
            while await there.context.has_existing_stream("stream"):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.05)
        again = Source()
        assert await read(await there.start(again)) == list(CHUNKS)

    async def _until_idle(self, *instances: ObservedInstance) -> None:
        await until(
            lambda: not any(instance.backend.live_subscriptions for instance in instances),
            "no subscription is left",
        )


async def _attach_and_give_up(instance: ObservedInstance, steps: int) -> None:
    attaching = asyncio.ensure_future(instance.resume())
    for _ in range(steps):
        await asyncio.sleep(0)
    attaching.cancel()
    await asyncio.wait([attaching])
