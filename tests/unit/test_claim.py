"""A producer's claim on a stream id is taken, renewed and released by atomic writes only."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from resumable_stream import (
    BackendUnavailableError,
    OutcomeUnknownError,
    StreamState,
)
from resumable_stream._producing.claim import Claim, SupersededError
from resumable_stream._producing.lease import Lease
from resumable_stream._protocol.sentinel import Outcome, generation_of
from resumable_stream._text.endings import Ending, Status
from support.virtual_time import in_virtual_time
from support.world import (
    ID,
    LEASE,
    OUTCOME,
    SENTINEL,
    Broker,
    Source,
    claim_on,
    rest,
    shared_on,
    world,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

COMPLETED = Ending(Status.COMPLETED)


@pytest.mark.rule("SEN-1")
@in_virtual_time
async def test_one_of_many_claims_wins() -> None:
    async with world() as here:
        claims = [claim_on(here.raw) for _ in range(50)]
        assert sum(await asyncio.gather(*(claim.take() for claim in claims))) == 1


async def superseded_by(here: Broker) -> Claim:
    await here.delete(SENTINEL)
    successor = claim_on(here)
    assert await successor.take()
    return successor


@pytest.mark.rule("SEN-8", "P5")
@in_virtual_time
async def test_zombie_cannot_finish_its_successor() -> None:
    async with world() as here:
        zombie = claim_on(here.raw)
        assert await zombie.take()
        successor = await superseded_by(here.raw)
        with pytest.raises(SupersededError):
            await zombie.renew()
        with pytest.raises(SupersededError):
            await zombie.finish(1, COMPLETED)
        assert generation_of(await here.sentinel() or "") == successor.generation
        await successor.finish(7, Ending(Status.FAILED, "ValueError", "x"))
        with pytest.raises(SupersededError):
            await zombie.finish(1, COMPLETED)
        outcome = Outcome.decode(await here.raw.get(OUTCOME))
        assert outcome is not None
        assert (outcome.generation, outcome.end) == (successor.generation, 7)


class Paused(Broker):
    """Runs ``meanwhile`` once, right after a read of the sentinel and before the read returns."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def get(self, key: str) -> str | None:
        value = await super().get(key)
        if key == SENTINEL and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return value


@pytest.mark.rule("SEN-8", "P5")
@in_virtual_time
async def test_paused_zombie_does_not_overwrite_the_outcome() -> None:
    async with world() as here:
        slow = Paused(here.bus)
        zombie = claim_on(slow)
        assert await zombie.take()
        stale = '{"generation":1,"end":0,"status":"lost"}'
        await here.raw.set(OUTCOME, stale, ttl=60)

        async def take_over_and_finish() -> None:
            await (await superseded_by(here.raw)).finish(7, COMPLETED)

        slow.meanwhile = take_over_and_finish
        with pytest.raises(SupersededError):
            await zombie.finish(1, Ending(Status.CANCELLED))
        outcome = Outcome.decode(await here.raw.get(OUTCOME))
        assert outcome is not None
        assert (outcome.end, outcome.ending) == (7, COMPLETED)
        await slow.aclose()


@pytest.mark.rule("SEN-8", "P5")
@in_virtual_time
async def test_whose_end_stays_is_decided_by_the_sentinel_alone() -> None:
    async with world() as here:
        zombie = claim_on(here.raw)
        assert await zombie.take()
        successor = await superseded_by(here.raw)
        await here.raw.delete(SENTINEL)  # the broker comes back empty: the first to write holds it

        slow = Paused(here.bus)
        zombie._store = slow
        await successor._record(Outcome(successor.generation, 7, COMPLETED).encode(), ttl=60)
        slow.meanwhile = successor.renew
        with pytest.raises(SupersededError):
            await zombie.finish(1, COMPLETED)
        outcome = Outcome.decode(await here.raw.get(OUTCOME))
        assert outcome is not None
        assert outcome.generation == successor.generation
        await slow.aclose()


@pytest.mark.rule("SEN-9")
@pytest.mark.parametrize("fault", ["lose_replies", "lose_writes"])
@in_virtual_time
async def test_unknown_outcomes_are_looked_up(fault: str) -> None:
    async with world() as here:
        claim = claim_on(here.raw)
        setattr(here.raw, fault, 1)
        assert await claim.take()
        for step in (claim.renew, lambda: claim.finish(3, COMPLETED)):
            setattr(here.raw, fault, 1)
            for _ in range(3):
                with suppress(OutcomeUnknownError):
                    await step()
                    break
            else:
                pytest.fail("it never came through")
        assert await here.sentinel() == "DONE"
        assert not await claim_on(here.raw).take()


@pytest.mark.rule("SEN-9")
@in_virtual_time
async def test_lost_reply_does_not_lock_the_winner_out() -> None:
    async with world() as here:
        context, broker = here.instance()
        broker.lose_replies = 1
        source = Source("a")
        source.finish()
        assert await rest(await context.create_new_resumable_stream(ID, source)) == ["a"]


@in_virtual_time
async def test_claim_gives_up_on_a_broker_that_loses_all() -> None:
    async with world() as here:
        here.raw.lose_writes = 100
        with pytest.raises(BackendUnavailableError, match="try again"):
            await claim_on(here.raw).take()
        here.raw.lose_writes = 0


class LateReply(Broker):
    """Executes the first ``create``, and replies only after the lease has run out."""

    late = LEASE + 1

    async def create(self, key: str, value: str, *, ttl: int) -> bool:
        won = await super().create(key, value, ttl=ttl)
        late, self.late = self.late, 0
        await asyncio.sleep(late)
        return won


@pytest.mark.rule("SEN-9", "P5")
@pytest.mark.parametrize("other", [0, 1], ids=["free", "taken by another"])
@in_virtual_time
async def test_a_claim_older_than_its_lease_is_looked_up(other: int) -> None:
    async with world() as here:
        broker = LateReply(here.bus)
        slow = claim_on(broker)
        taking = asyncio.create_task(slow.take())
        await asyncio.sleep(LEASE + 0.5)
        if other:
            assert await claim_on(here.raw).take()
        assert await taking is not bool(other)
        await broker.aclose()


class LateWrite(Broker):
    """Executes the first ``create`` late: right before the second one."""

    lost = True

    async def create(self, key: str, value: str, *, ttl: int) -> bool:
        if self.lost:
            self.lost = False
            raise OutcomeUnknownError("not executed, for now")
        assert await super().create(key, value, ttl=ttl)
        return await super().create(key, value, ttl=ttl)


@pytest.mark.rule("SEN-9", "P5")
@in_virtual_time
async def test_a_claim_that_is_executed_late_does_not_lock_its_owner_out() -> None:
    async with world() as here:
        broker = LateWrite(here.bus)
        assert await claim_on(broker).take()
        await broker.aclose()


@pytest.mark.rule("SEN-10", "P10")
@in_virtual_time
async def test_cancelled_start_lets_go_of_its_claim() -> None:
    for turns in range(6):
        async with world() as here:
            context, _ = here.instance()
            source = Source("a")
            start = asyncio.create_task(context.create_new_resumable_stream(ID, source))
            for _ in range(turns):
                await asyncio.sleep(0)
            start.cancel()
            await asyncio.wait({start})
            if start.cancelled():
                await asyncio.sleep(1.5)
                assert await here.sentinel() is None
                assert source.calls == 0
                assert context._binding.instance is None or not list(
                    context._binding.instance.shared.background
                )
            else:
                assert (await context.stream_status(ID)).state is StreamState.ACTIVE


@pytest.mark.rule("SEN-2", "P10")
@in_virtual_time
async def test_an_abandoned_claim_goes_though_typescript_peers_have_counted_in_it() -> None:
    async with world() as here:
        claim = Claim(ID, shared_on(here.raw))
        assert await claim.take()
        await here.raw.set(SENTINEL, str(int(await here.sentinel() or "") + 2), ttl=15)
        await claim.release()
        await asyncio.sleep(1.1)
        assert await here.sentinel() is None


@pytest.mark.rule("SEN-6")
@in_virtual_time
async def test_a_claim_that_is_held_again_after_an_outage_is_told_once() -> None:
    broker = Broker("leases-lapsed")
    claim = claim_on(broker)
    assert await claim.take()
    lapses: list[None] = []
    lease = Lease(
        "stream",
        claim,
        shared_on(broker),
        on_lapsed=lambda: lapses.append(None),
        on_gone=lambda _ending: None,
    )
    lease.begin()
    await asyncio.sleep(2 * LEASE)
    assert claim.held
    broker.away = True
    await asyncio.sleep(2 * LEASE)
    assert not claim.held
    broker.away = False
    await asyncio.sleep(2 * LEASE)
    assert claim.held
    assert len(lapses) == 1
    await lease.end()
    await broker.aclose()


@pytest.mark.rule("JNL-3", "SEN-9")
@in_virtual_time
async def test_a_pointer_never_stands_without_its_sentinel() -> None:
    """Or a reader would find a dead producer, while an emptied broker is filled again."""
    async with world() as here:
        claim = claim_on(here.raw)
        assert await claim.take()
        await here.raw.delete(SENTINEL)
        await claim.point(kept_until=2_000_000_000)
        assert generation_of(await here.sentinel() or "") == claim.generation
        assert await here.raw.get(OUTCOME) is not None


@pytest.mark.rule("JNL-3", "SEN-8")
@in_virtual_time
async def test_a_claim_that_is_another_s_points_at_nothing() -> None:
    async with world() as here:
        claim = claim_on(here.raw)
        assert await claim.take()
        await superseded_by(here.raw)
        with pytest.raises(SupersededError):
            await claim.point(kept_until=2_000_000_000)
