"""The promises under faults: the text stays exact whatever faults the ports allow."""

from __future__ import annotations

import asyncio

from resumable_stream import StreamState
from resumable_stream_conformance._faults import Fault, FaultPlan
from resumable_stream_conformance._faulty import FaultyBackend
from resumable_stream_conformance._stage import CHUNKS, LEASE, Source, Stage, read, read_until
from resumable_stream_conformance._suite import rule

HALF = 30
SEEDS = range(1, 6)
# After this operation there are no more random faults, so that every stream ends.
LAST = 600


class FaultLaws(Stage):
    """P1 to P10 with a broker that fails as the ports allow."""

    @rule("P1", "P2", within=60)
    async def test_drops_leave_the_text_exact(self) -> None:
        """Text is exact, in the source's own chunks, although messages are lost."""
        await self._run_all({Fault.DROP: 0.3})

    @rule("P1", "P2", within=60)
    async def test_duplicates_leave_the_text_exact(self) -> None:
        """Text is exact although messages come twice."""
        await self._run_all({Fault.DUPLICATE: 0.5})

    @rule("P1", "P2", within=60)
    async def test_delays_leave_the_text_exact(self) -> None:
        """Text is exact although messages and answers come late."""
        await self._run_all({Fault.DELAY: 0.1, Fault.SLOW: 0.1})

    @rule("P1", "P2", within=60)
    async def test_cut_offs_leave_the_text_exact(self) -> None:
        """Text is exact although subscriptions go deaf for a while and reconnect."""
        await self._run_all({Fault.CUT_OFF: 0.05})

    @rule("P1", "P2", within=90)
    async def test_everything_leaves_the_text_exact(self) -> None:
        """Text is exact although all of these faults happen together."""
        await self._run_all(
            {
                Fault.DROP: 0.1,
                Fault.DUPLICATE: 0.1,
                Fault.DELAY: 0.05,
                Fault.SLOW: 0.05,
                Fault.CUT_OFF: 0.02,
            }
        )

    @rule("P1", "P4", within=60)
    async def test_errors_while_reading_are_overcome(self) -> None:
        """Calls that fail while a stream runs, executed or not, do not harm it."""
        plan = FaultPlan(
            odds={Fault.UNAVAILABLE: 0.1, Fault.UNKNOWN_EXECUTED: 0.1, Fault.UNKNOWN_LOST: 0.1},
            seed=7,
            last=LAST,
        )
        calm = FaultPlan()
        backends = [FaultyBackend(await self.connect(), calm) for _ in range(2)]
        here, there = [await self.instance(backend) for backend in backends]
        source = Source([*CHUNKS, *CHUNKS], pause=0.02, hold_at=1)
        await here.start(source)
        remote = await there.resume()
        for backend in backends:
            backend.plan = plan
        source.go.set()
        assert await read(remote) == list(source.chunks)

    @rule("P5")
    async def test_unknown_claim_is_looked_up(self) -> None:
        """A claim whose outcome is unknown is read back: the stream starts, and starts once."""
        for fault in (Fault.UNKNOWN_EXECUTED, Fault.UNKNOWN_LOST):
            # The first operation subscribes to the requests, the second claims.
            backend = FaultyBackend(await self.connect(), FaultPlan(at={2: fault}))
            instance = await self.instance(backend)
            source = Source()
            stream = await instance.context.resumable_stream(fault.name, source)
            assert stream is not None
            assert await read(stream) == list(CHUNKS)
            assert source.runs == 1

    @rule("P3", "P6")
    async def test_end_during_outage_is_recorded_after(self) -> None:
        """A stream that ended while the broker was away is recorded as completed afterwards."""
        flaky = FaultyBackend(await self.connect())
        here, there = await self.instance(flaky, lease=15.0), await self.instance(lease=15.0)
        source = Source(hold_at=HALF)
        await here.start(source)
        await source.reached.wait()
        flaky.cut_off()
        source.go.set()
        await source.closed.wait()
        flaky.restore()
        await there.until_over(StreamState.COMPLETED)

    @rule("P1", "P6", within=60)
    async def test_reader_outage_is_overcome(self) -> None:
        """A reader whose connection was lost for a while continues, and misses nothing."""
        flaky = FaultyBackend(await self.connect())
        here, there = await self.instance(), await self.instance(flaky)
        source = Source([*CHUNKS] * 3, pause=0.005, hold_at=HALF)
        await here.start(source)
        reader = await there.resume()
        begun = await read_until(reader, source.before(HALF))
        source.go.set()
        for _ in range(3):
            flaky.cut_off()
            await asyncio.sleep(0.1)
            flaky.restore()
            begun += await read(reader, 20)
        assert begun + await read(reader) == list(source.chunks)

    @rule("P3", "P4")
    async def test_short_silence_is_no_loss(self) -> None:
        """A producer that is silent for half a lease is not taken for lost."""
        muted = FaultyBackend(await self.connect())
        here, there = await self.instance(muted), await self.instance()
        source = Source(hold_at=HALF)
        await here.start(source)
        reader = await there.resume()
        begun = await read_until(reader, source.before(HALF))
        muted.plan = FaultPlan(odds={Fault.DROP: 1.0})
        await asyncio.sleep(LEASE / 2)
        muted.plan = FaultPlan()
        source.go.set()
        assert begun + await read(reader) == list(CHUNKS)

    async def _run_all(self, odds: dict[Fault, float]) -> None:
        await asyncio.gather(*(self._run(odds, seed) for seed in SEEDS))

    async def _run(self, odds: dict[Fault, float], seed: int) -> None:
        """Produce here and read there, through faults on both sides."""
        stream_id = f"seed {seed}"
        plans = [FaultPlan(odds=odds, seed=seed * 10 + n, last=LAST) for n in range(2)]
        here, there = [
            await self.instance(FaultyBackend(await self.connect(), plan), handshake_timeout=10.0)
            for plan in plans
        ]
        source = Source([*CHUNKS, *CHUNKS], pause=0.01, hold_at=1)
        local = await here.context.resumable_stream(stream_id, source)
        remote = await there.context.resume_existing_stream(stream_id)
        assert local is not None
        assert remote
        source.go.set()
        assert await read(remote) == list(source.chunks), f"seed {seed}"
        assert await read(local) == list(source.chunks)
