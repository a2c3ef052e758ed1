"""The leases of an instance, each renewed alone: each has an outcome of its own."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import BackendUnavailableError
from resumable_stream._producing.claim import SupersededError
from resumable_stream._producing.lease import Lease
from resumable_stream._text.endings import Ending, Status
from support.virtual_time import in_virtual_time, loop_time
from support.world import LEASE, shared_on

if TYPE_CHECKING:
    from resumable_stream._shared import Shared

INTERVAL = LEASE / 3


class FakeClaim:
    """A claim whose renewals do what the test says: return, raise, or wait for the future."""

    def __init__(self, number: int) -> None:
        self.generation = number
        self.held = True
        self.answer: bool | Exception | asyncio.Future[bool] = False
        self.renewed_at: list[float] = []

    @property
    def entry(self) -> tuple[str, str]:
        return "key", "value"

    async def renew(self) -> bool:
        self.renewed_at.append(loop_time())
        if isinstance(self.answer, Exception):
            raise self.answer
        return await self.answer if isinstance(self.answer, asyncio.Future) else self.answer


class Kept:
    """A lease that was begun, and what became of it."""

    def __init__(self, shared: Shared, number: int = 1023) -> None:
        self.claim = FakeClaim(number)
        self.lapses = 0
        self.endings: list[Ending] = []
        self.lease = Lease(
            f"stream-{number}",
            self.claim,  # type: ignore[arg-type] # a fake
            shared,
            on_lapsed=self._on_lapsed,
            on_gone=self.endings.append,
        )

    def _on_lapsed(self) -> None:
        self.lapses += 1


def shared() -> Shared:
    """What leases share on a backend that cannot renew many keys at once."""
    lacking: Any = SimpleNamespace()
    return shared_on(lacking)


def renewals() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task.get_name().endswith(" lease")]


async def turns(count: int = 4) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.rule("SEN-3")
@in_virtual_time
async def test_an_idle_lease_has_no_task() -> None:
    kept = Kept(shared())
    kept.lease.begin()
    for _ in range(50):
        assert not renewals()
        await asyncio.sleep(1.01)
    assert len(kept.claim.renewed_at) == 10
    await kept.lease.end()
    assert not kept.lease._shared.ticks._timers


@pytest.mark.rule("SEN-3", "P8")
@in_virtual_time
async def test_leases_that_fall_due_together_are_renewed_in_one_turn() -> None:
    common = shared()
    many = [Kept(common) for _ in range(100)]
    for kept in many:
        kept.lease.begin()
    assert len(common.ticks._timers) == 1
    await asyncio.sleep(INTERVAL + 1)
    assert len({moment for kept in many for moment in kept.claim.renewed_at}) == 1
    assert len(common.ticks._timers) == 1


@pytest.mark.rule("P4", "P6")
@in_virtual_time
async def test_a_renewal_that_hangs_holds_up_nobody_else() -> None:
    common = shared()
    stuck, *others = many = [Kept(common) for _ in range(10)]
    stuck.claim.answer = asyncio.get_running_loop().create_future()
    for kept in many:
        kept.lease.begin()
    await asyncio.sleep(10 * INTERVAL)
    assert len(stuck.claim.renewed_at) == 1
    assert all(len(kept.claim.renewed_at) >= 9 for kept in others)
    stuck.claim.answer.set_result(True)
    await turns()
    assert stuck.lapses == 1
    await asyncio.sleep(INTERVAL + 1)
    assert len(stuck.claim.renewed_at) == 2
    assert not any(kept.endings for kept in many)


@pytest.mark.rule("SEN-5", "P5")
@in_virtual_time
async def test_a_superseded_lease_ends_its_stream_only() -> None:
    common = shared()
    taken, *others = many = [Kept(common) for _ in range(10)]
    taken.claim.answer = SupersededError()
    for kept in many:
        kept.lease.begin()
    await asyncio.sleep(5 * INTERVAL)
    taken.lease.renew_now()
    await turns()
    assert taken.endings == [Ending(Status.SUPERSEDED)]
    assert len(taken.claim.renewed_at) == 1
    assert all(len(kept.claim.renewed_at) >= 4 for kept in others)
    assert not any(kept.endings for kept in others)


@pytest.mark.rule("P3")
@pytest.mark.parametrize("ticks", range(4))
@in_virtual_time
async def test_a_stream_whose_renewal_is_cancelled_by_a_host_is_lost(ticks: int) -> None:
    common = shared()
    kept, other = Kept(common), Kept(common)
    kept.claim.answer = asyncio.get_running_loop().create_future()
    other.lease.begin()
    kept.lease.begin()
    kept.lease.renew_now()
    await turns(ticks)
    (renewal,) = renewals()
    renewal.cancel()
    await turns()
    assert kept.endings == [Ending(Status.LOST)]
    await asyncio.sleep(3 * INTERVAL)
    assert len(kept.claim.renewed_at) == min(ticks, 1)
    assert not other.endings
    assert len(other.claim.renewed_at) >= 2


@pytest.mark.rule("P3")
@in_virtual_time
async def test_a_stream_whose_renewal_fails_by_a_bug_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept = Kept(shared())
    kept.claim.answer = ZeroDivisionError("a bug")
    kept.lease.begin()
    await asyncio.sleep(3 * INTERVAL)
    assert kept.endings == [Ending(Status.LOST)]
    assert len(kept.claim.renewed_at) == 1
    assert "keeping its lease failed" in caplog.text


@pytest.mark.rule("SEN-4")
@in_virtual_time
async def test_after_a_loss_ten_thousand_leases_are_renewed_at_once() -> None:
    common = shared()
    many = [Kept(common, number) for number in range(10_000)]
    for kept in many:
        kept.lease.begin()
    began = loop_time()
    for kept in many:
        kept.lease.renew_now()
    assert not common.ticks._timers
    await turns()
    assert all(kept.claim.renewed_at == [began] for kept in many)
    assert not renewals()
    await asyncio.sleep(INTERVAL + 1)
    assert all(len(kept.claim.renewed_at) == 2 for kept in many)
    for kept in many:
        await kept.lease.end()
    assert not common.ticks._timers


@pytest.mark.rule("SEN-4")
@in_virtual_time
async def test_a_loss_during_a_renewal_is_followed_by_another_renewal() -> None:
    kept = Kept(shared())
    waiting = kept.claim.answer = asyncio.get_running_loop().create_future()
    kept.lease.begin()
    kept.lease.renew_now()
    await turns()
    kept.lease.renew_now()
    kept.lease.renew_now()
    assert len(renewals()) == 1
    kept.claim.answer = False
    waiting.set_result(False)
    await turns()
    assert len(kept.claim.renewed_at) == 2
    await asyncio.sleep(INTERVAL - 1)
    assert len(kept.claim.renewed_at) == 2


@pytest.mark.rule("SEN-4")
@in_virtual_time
async def test_a_loss_before_the_beginning_makes_the_first_renewal_due() -> None:
    kept = Kept(shared())
    kept.lease.renew_now()
    await asyncio.sleep(1)
    assert not kept.claim.renewed_at
    kept.lease.begin()
    await turns()
    assert len(kept.claim.renewed_at) == 1


@pytest.mark.rule("SEN-3")
@in_virtual_time
async def test_each_stream_has_a_backoff_of_its_own() -> None:
    common = shared()
    failing, sound = Kept(common), Kept(common)
    failing.claim.answer = BackendUnavailableError("away")
    failing.lease.begin()
    sound.lease.begin()
    await asyncio.sleep(INTERVAL + 0.01)
    first = failing.claim.renewed_at[0]
    await asyncio.sleep(3)
    waits = [moment - first for moment in failing.claim.renewed_at]
    assert waits == pytest.approx([0.0, 0.1, 0.3, 0.7, 1.5, 2.5], abs=0.2)
    assert len(sound.claim.renewed_at) == 1
    failing.claim.answer = False
    await asyncio.sleep(2)
    tried = len(failing.claim.renewed_at)
    await asyncio.sleep(INTERVAL - 2)
    assert len(failing.claim.renewed_at) == tried
    failing.claim.answer = BackendUnavailableError("away again")
    await asyncio.sleep(2)
    again = failing.claim.renewed_at[tried:]
    assert again[1] - again[0] < 0.2
    assert not failing.endings


@pytest.mark.rule("P10")
@pytest.mark.parametrize("ticks", range(4))
@in_virtual_time
async def test_the_end_cuts_a_renewal_short_and_waits_for_it(ticks: int) -> None:
    kept = Kept(shared())
    kept.claim.answer = asyncio.get_running_loop().create_future()
    kept.lease.begin()
    kept.lease.renew_now()
    await turns(ticks)
    await kept.lease.end()
    assert not renewals()
    await kept.lease.end()
    kept.lease.renew_now()
    await asyncio.sleep(3 * INTERVAL)
    assert len(kept.claim.renewed_at) <= 1
    assert not kept.endings


@pytest.mark.rule("P10")
@pytest.mark.parametrize("error", [None, SupersededError(), BackendUnavailableError("away")])
@in_virtual_time
async def test_what_a_renewal_brings_during_the_end_is_not_heard(error: Exception | None) -> None:
    kept = Kept(shared())
    kept.claim.answer = error or False
    kept.lease.begin()
    kept.lease.renew_now()
    await asyncio.sleep(0)  # answered, and the outcome is not taken yet
    await kept.lease.end()
    await asyncio.sleep(3 * INTERVAL)
    assert len(kept.claim.renewed_at) == 1
    assert not kept.endings


@pytest.mark.rule("SEN-3")
@in_virtual_time
async def test_a_claim_that_took_longer_than_its_lease_is_renewed_at_once() -> None:
    common = shared()
    slow = Kept(common)
    slow.claim.held = False
    slow.lease.begin()
    await asyncio.sleep(0.1)
    assert len(slow.claim.renewed_at) == 1
