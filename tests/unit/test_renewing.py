"""Leases that fall due together are renewed together, and each alone where that fails."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING, Any

import pytest

from resumable_stream import BackendUnavailableError, OutcomeUnknownError
from resumable_stream._producing.claim import Claim
from resumable_stream._producing.lease import Lease
from resumable_stream._protocol.sentinel import DONE
from resumable_stream._text.endings import Ending, Status
from support.virtual_time import in_virtual_time, loop_time
from support.world import LEASE, NAMES, Broker, shared_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable_stream._shared import Shared

INTERVAL = LEASE / 3

_names = itertools.count()


class Watched(Broker):
    """A broker that notes each call, and answers as the test says."""

    def __init__(self) -> None:
        super().__init__(f"renewing-{next(_names)}")
        self.together: list[list[str]] = []
        self.alone: list[str] = []
        self.error: Exception | None = None
        self.hold_up: asyncio.Event | None = None
        self.answers: list[bool] | None = None

    async def renew_many(self, entries: Sequence[tuple[str, str]], *, ttl: int) -> list[bool]:
        self.together.append([key for key, _ in entries])
        if self.hold_up is not None:
            await self.hold_up.wait()
        if self.error is not None:
            raise self.error
        renewed = await super().renew_many(entries, ttl=ttl)
        return renewed if self.answers is None else self.answers

    async def compare_and_set(self, key: str, expected: str, value: str, *, ttl: int) -> bool:
        self.alone.append(key)
        return await super().compare_and_set(key, expected, value, ttl=ttl)


class Kept:
    """A stream's lease, begun, and what became of it."""

    def __init__(self, shared: Shared, stream_id: str) -> None:
        self.claim = Claim(stream_id, shared)
        self.claim.generation = 1023  # so that all fall due together
        self.claim._value = str(1023 << 20)
        self.lapses = 0
        self.endings: list[Ending] = []
        self.lease = Lease(
            stream_id, self.claim, shared, on_lapsed=self._on_lapsed, on_gone=self.endings.append
        )

    def _on_lapsed(self) -> None:
        self.lapses += 1


async def begun(broker: Watched, number: int) -> list[Kept]:
    shared = shared_on(broker)
    many = [Kept(shared, f"s{n}") for n in range(number)]
    for kept in many:
        assert await kept.claim.take()
    for kept in many:
        kept.lease.begin()
    return many


async def due(count: int = 1) -> None:
    """Wait until all leases have been due this often."""
    await asyncio.sleep(count * (INTERVAL + 0.05))


async def end(many: Sequence[Kept]) -> None:
    for kept in many:
        await kept.lease.end()


@pytest.mark.rule("SEN-3", "KV-7", "P8")
@in_virtual_time
async def test_leases_that_fall_due_together_are_one_call() -> None:
    broker = Watched()
    many = await begun(broker, 100)
    await due(10)
    assert [len(keys) for keys in broker.together] == [100] * 10
    assert not broker.alone
    assert all(kept.claim.held and not kept.lapses for kept in many)
    assert await broker.get(NAMES.sentinel("s7")) == many[7].claim.entry[1]
    await end(many)
    await due(3)
    assert len(broker.together) == 10


@pytest.mark.rule("KV-7")
@in_virtual_time
async def test_the_keys_of_one_call_are_bounded() -> None:
    broker = Watched()
    many = await begun(broker, 1000)
    await due()
    assert [len(keys) for keys in broker.together] == [256, 256, 256, 232]
    assert len({key for keys in broker.together for key in keys}) == 1000
    await end(many)


@pytest.mark.rule("SEN-4", "SEN-5", "P5")
@in_virtual_time
async def test_a_lease_that_is_not_renewed_with_the_others_is_looked_at_alone() -> None:
    broker = Watched()
    taken, lost, counted, *others = many = await begun(broker, 10)
    await broker.set(taken.claim.entry[0], str(7 << 20), ttl=60)
    await broker.delete(lost.claim.entry[0])
    await broker.set(counted.claim.entry[0], str((1023 << 20) + 1), ttl=60)
    await due()
    assert taken.endings == [Ending(Status.SUPERSEDED)]
    assert await broker.get(lost.claim.entry[0]) == lost.claim.entry[1]
    assert counted.claim.entry[1] == str((1023 << 20) + 1)
    assert set(broker.alone) == {kept.claim.entry[0] for kept in (taken, lost, counted)}
    broker.alone.clear()
    await due()
    assert not broker.alone
    assert len(broker.together[-1]) == 9
    assert not any(kept.endings for kept in (lost, counted, *others))
    await end(many)


@pytest.mark.rule("SEN-3", "SEN-9")
@pytest.mark.parametrize(
    "error",
    [BackendUnavailableError("away"), OutcomeUnknownError("perhaps"), ZeroDivisionError("a bug")],
)
@in_virtual_time
async def test_a_call_that_fails_leaves_each_lease_to_itself(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Watched()
    broker.error = error
    many = await begun(broker, 10)
    await due(4)
    assert all(kept.claim.held and not kept.endings for kept in many)
    assert len(broker.together) == 4
    assert len(broker.alone) == 40
    bugs = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert len(bugs) == (4 if isinstance(error, ZeroDivisionError) else 0)
    await end(many)


@pytest.mark.rule("SEN-3")
@pytest.mark.parametrize("answers", [[True], [True] * 11])
@in_virtual_time
async def test_answers_that_are_not_one_each_say_nothing(answers: list[bool]) -> None:
    broker = Watched()
    broker.answers = answers
    many = await begun(broker, 10)
    await due()
    assert len(broker.alone) == 10
    await end(many)


@pytest.mark.rule("SEN-3", "P4")
@in_virtual_time
async def test_during_an_outage_each_lease_is_tried_alone() -> None:
    broker = Watched()
    many = await begun(broker, 10)
    broker.away = True
    await due(2)
    assert len(broker.together) == 1
    assert len(broker.alone) > 40
    broker.away = False
    await due()
    assert all(kept.claim.held for kept in many)
    broker.alone.clear()
    await due()
    assert not broker.alone
    assert len(broker.together) >= 2
    await end(many)


@pytest.mark.rule("P4", "P6")
@in_virtual_time
async def test_a_call_that_hangs_holds_up_only_its_own_leases() -> None:
    broker = Watched()
    shared = shared_on(broker)
    stuck, other = Kept(shared, "stuck"), Kept(shared, "other")
    for kept in (stuck, other):
        assert await kept.claim.take()
    going_on = broker.hold_up = asyncio.Event()
    stuck.lease.begin()
    await due()
    broker.hold_up = None
    other.lease.begin()
    await due(4)
    assert other.claim.held
    assert not stuck.claim.held
    going_on.set()
    await asyncio.sleep(1)
    assert stuck.lapses == 1
    assert await broker.get(stuck.claim.entry[0]) == stuck.claim.entry[1]
    await end([stuck, other])


@pytest.mark.rule("SEN-6")
@in_virtual_time
async def test_a_lease_counts_from_before_the_call() -> None:
    broker = Watched()
    (kept,) = await begun(broker, 1)
    broker.hold_up = asyncio.Event()
    await due()
    sent = loop_time() - 0.05
    await asyncio.sleep(6)
    broker.hold_up.set()
    await asyncio.sleep(0.1)
    assert kept.claim._held_until == pytest.approx(sent + LEASE, abs=0.1)
    await end([kept])


@pytest.mark.rule("SEN-6")
@in_virtual_time
async def test_a_lapse_that_a_common_renewal_ends_is_told() -> None:
    broker = Watched()
    (kept,) = await begun(broker, 1)
    kept.claim._held_until = loop_time()
    await due()
    assert kept.lapses == 1
    await due()
    assert kept.lapses == 1
    await end([kept])


@pytest.mark.rule("SEN-4")
@in_virtual_time
async def test_a_loss_during_a_common_renewal_is_followed_by_another() -> None:
    broker = Watched()
    (kept,) = await begun(broker, 1)
    broker.hold_up = asyncio.Event()
    kept.lease.renew_now()
    await asyncio.sleep(0.1)
    kept.lease.renew_now()
    kept.lease.renew_now()
    await broker.delete(kept.claim.entry[0])
    broker.hold_up.set()
    await asyncio.sleep(0.1)
    assert await broker.get(kept.claim.entry[0]) == kept.claim.entry[1]
    assert len(broker.together) == 2
    await end([kept])


@pytest.mark.rule("SEN-7", "P3", "P10")
@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("ticks", range(6))
@in_virtual_time
async def test_the_end_beside_a_common_renewal_stands(ticks: int, *, answered: bool) -> None:
    broker = Watched()
    ended, other = many = await begun(broker, 2)
    held_up = broker.hold_up = asyncio.Event()
    for kept in many:
        kept.lease.renew_now()
    for _ in range(ticks):
        await asyncio.sleep(0)
    await ended.lease.end()
    await ended.claim.finish(0, Ending(Status.COMPLETED))
    broker.error = None if answered else OutcomeUnknownError("perhaps")
    broker.alone.clear()
    held_up.set()
    await asyncio.sleep(1)
    assert await broker.get(ended.claim.entry[0]) == DONE
    assert broker.alone == ([] if answered else [other.claim.entry[0]])
    broker.error = None
    await due(2)
    assert await broker.get(ended.claim.entry[0]) == DONE
    assert other.claim.held
    assert not ended.endings
    await end(many)


@pytest.mark.rule("P3")
@pytest.mark.parametrize("ticks", range(3))
@in_virtual_time
async def test_a_host_that_cancels_a_common_renewal_ends_no_stream(ticks: int) -> None:
    broker = Watched()
    many = await begun(broker, 10)
    broker.hold_up = asyncio.Event()
    for kept in many:
        kept.lease.renew_now()
    await asyncio.sleep(0)
    for _ in range(ticks):
        await asyncio.sleep(0)
    (call,) = [one for one in asyncio.all_tasks() if one.get_name() == "resumable-stream leases"]
    call.cancel()
    await asyncio.sleep(0.1)
    assert len(broker.alone) == 10
    assert all(kept.claim.held and not kept.endings for kept in many)
    await end(many)


@pytest.mark.rule("P10")
@in_virtual_time
async def test_the_task_of_a_common_renewal_is_there_at_once() -> None:
    broker = Watched()
    many = await begun(broker, 10)
    for kept in many:
        kept.lease.renew_now()
    (call,) = [one for one in asyncio.all_tasks() if one.get_name() == "resumable-stream leases"]
    call.cancel()  # before its first step, as the end of the event loop does
    await asyncio.sleep(0.1)
    assert not broker.together
    assert len(broker.alone) == 10
    many[0].lease.renew_now()
    await asyncio.sleep(0.1)
    assert len(broker.together) == 1
    await end(many)


def test_an_event_loop_that_ends_during_a_common_renewal_gets_no_new_task() -> None:
    created: list[str] = []

    async def main() -> None:
        broker = Watched()
        many = await begun(broker, 10)
        broker.hold_up = asyncio.Event()
        for kept in many:
            kept.lease.renew_now()
        await asyncio.sleep(0.01)

        def create(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> Any:
            created.append(repr(work))
            return asyncio.Task(work, loop=loop, **options)

        asyncio.get_running_loop().set_task_factory(create)

    asyncio.run(main())
    assert not [work for work in created if "renew" in work]
