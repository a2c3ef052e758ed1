"""The parts of the conformance suite that its tests do not reach."""

from __future__ import annotations

import asyncio
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from resumable_stream.errors import BackendUnavailableError, OutcomeUnknownError
from resumable_stream.ports import Backend, Loss
from resumable_stream_conformance import (
    BackendSuite,
    Capabilities,
    Fault,
    FaultPlan,
    FaultyBackend,
    ObservedBackend,
    rule,
)
from resumable_stream_conformance._process import answer, other_process
from resumable_stream_conformance._recorder import Recorder
from resumable_stream_conformance._rules import RULES
from resumable_stream_conformance._suite import SuiteBase, rules_of
from resumable_stream_memory import MemoryBackend


def test_suite_itself_is_not_collected() -> None:
    assert BackendSuite.__test__ is False


def test_overriding_a_test_is_refused() -> None:
    with pytest.raises(TypeError, match="overrides a test of the conformance suite"):
        type("TestBlank", (BackendSuite,), {"test_create_has_one_winner": lambda _self: None})


def test_every_test_names_known_rules() -> None:
    tests = {
        name: getattr(BackendSuite, name) for name in dir(BackendSuite) if name.startswith("test_")
    }
    assert len(tests) > 50
    for name, test in tests.items():
        assert rules_of(test), name
        assert set(rules_of(test)) <= RULES.keys(), name
        assert test.__doc__, name


def test_unknown_capability_is_refused() -> None:
    with pytest.raises(ValueError, match="no capability"):
        rule("KV-1", needs="telepathy")


def test_missing_base_capabilities_are_listed() -> None:
    assert Capabilities().missing_base == ()
    assert Capabilities(expiry=False, shared_between_processes=False).missing_base == ("expiry",)


async def test_async_open_is_awaited() -> None:
    class Later(SuiteBase):
        async def open(self) -> Backend:
            return MemoryBackend("later")

        @rule("BE-1")
        async def check(self) -> None:
            assert isinstance(await self.connect(), MemoryBackend)

    await Later().check()


async def test_hanging_test_fails_itself() -> None:
    class Hanging(SuiteBase):
        @rule("BE-2", within=0.01)
        async def check(self) -> None:
            await asyncio.Event().wait()

    with pytest.raises(AssertionError, match="has not ended within"):
        await Hanging().check()


async def test_publishing_faults_strike_by_number() -> None:
    inner = MemoryBackend("faults")
    plan = FaultPlan(at={2: Fault.DROP, 3: Fault.DUPLICATE, 4: Fault.DELAY}, seconds=0.01)
    faulty = FaultyBackend(inner, plan)
    recorder = Recorder()
    await recorder.subscribe(faulty, "channel")
    await asyncio.gather(*(faulty.publish("channel", b"%d" % n) for n in range(2, 7)))
    await recorder.until_count(5)
    assert recorder.messages == [b"3", b"3", b"4", b"5", b"6"]
    assert faulty.suffered == plan.at
    await faulty.aclose()


async def test_errors_tell_what_was_executed() -> None:
    faults = {1: Fault.UNAVAILABLE, 2: Fault.UNKNOWN_LOST, 3: Fault.UNKNOWN_EXECUTED}
    inner = MemoryBackend("faults")
    faulty = FaultyBackend(inner, FaultPlan(at=faults))
    with pytest.raises(BackendUnavailableError):
        await faulty.create("key", "value", ttl=60)
    for executed in (None, "value"):
        with pytest.raises(OutcomeUnknownError):
            await faulty.create("key", "value", ttl=60)
        assert await inner.get("key") == executed
    await faulty.aclose()


async def test_outage_is_reported_when_over() -> None:
    inner = MemoryBackend("faults")
    faulty = FaultyBackend(inner)
    recorder = Recorder()
    await recorder.subscribe(faulty, "channel")
    faulty.cut_off()
    await inner.publish("channel", b"lost")
    with pytest.raises(BackendUnavailableError):
        await faulty.get("key")
    await asyncio.sleep(0)
    assert recorder.losses == []
    faulty.restore()
    assert recorder.losses == [Loss.RECONNECTED]
    await inner.publish("channel", b"heard")
    await recorder.until_received(b"heard")
    assert recorder.messages == [b"heard"]
    await faulty.aclose()


async def test_cut_off_ends_by_itself() -> None:
    faulty = FaultyBackend(MemoryBackend("faults"), FaultPlan(at={2: Fault.CUT_OFF}, seconds=0.01))
    recorder = Recorder()
    await recorder.subscribe(faulty, "channel")
    await faulty.publish("channel", b"lost")
    await recorder.until_told(Loss.RECONNECTED)
    await faulty.publish("channel", b"heard")
    await recorder.until_received(b"heard")
    assert recorder.messages == [b"heard"]
    await faulty.aclose()


def test_seed_repeats_its_faults() -> None:
    odds = {Fault.DROP: 0.2, Fault.DELAY: 0.1}
    plans = [FaultPlan(odds=odds, seed=seed, last=500) for seed in (1, 1, 2)]
    first, again, other = ([plan.fault(n) for n in range(1, 1001)] for plan in plans)
    assert first == again != other
    assert set(first[500:]) == {None}
    assert 60 < first.count(Fault.DROP) < 140


async def test_observer_counts_live_subscriptions() -> None:
    observed = ObservedBackend(MemoryBackend("observed"))
    recorder = Recorder()
    subscriptions = [await recorder.subscribe(observed, "channel") for _ in range(2)]
    await observed.publish_many([("channel", b"a"), ("channel", b"b")])
    await observed.create("key", "value", ttl=60)
    assert observed.calls == {"subscribe": 2, "publish": 2, "create": 1}
    assert (observed.writes, observed.live_subscriptions) == (1, 2)
    for subscription in subscriptions * 2:
        await subscription.aclose()
    assert observed.live_subscriptions == 0
    await observed.aclose()


async def test_wrappers_count_what_the_inner_backend_does() -> None:
    inner = MemoryBackend("counted")
    faulty = FaultyBackend(inner, FaultPlan(at={3: Fault.UNKNOWN_LOST}))
    observed = ObservedBackend(faulty)
    await Recorder().subscribe(observed, "channel")
    assert await observed.count_subscribers(["channel", "other"]) == [1, 0]
    with pytest.raises(BackendUnavailableError):
        await observed.count_subscribers(["channel"])
    assert observed.calls["count_subscribers"] == 2
    await observed.aclose()


async def test_wrappers_count_nothing_where_the_inner_backend_cannot() -> None:
    lacking: Any = SimpleNamespace()
    for wrapper in (ObservedBackend(lacking), FaultyBackend(lacking)):
        assert await wrapper.count_subscribers(["channel"]) is None


async def test_other_process_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(read=over.wait))
    here, recorder = MemoryBackend("neighbours"), Recorder()
    await here.set("ns.ours", "from us", ttl=60)
    await recorder.subscribe(here, "ns.to-us")
    answering = asyncio.create_task(answer("memory://neighbours", "ns"))
    await recorder.until_received(b"ready")
    assert await here.get("ns.theirs") == "from us, seen"
    await here.publish("ns.to-them", b"ping")
    await recorder.until_received(b"ping, heard")
    over.set()
    await answering
    await here.aclose()


async def test_other_process_ends_with_its_input() -> None:
    async with other_process("memory://", "ns"):
        pass
