"""The parts of the conformance suite for journals that its tests do not reach."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from resumable_stream.errors import BackendUnavailableError, OutcomeUnknownError
from resumable_stream_conformance import (
    Fault,
    FaultPlan,
    FaultyBackend,
    FaultyJournal,
    JournalSuite,
    JournalWrapper,
    ObservedBackend,
    ObservedJournal,
)
from resumable_stream_conformance._rules import RULES
from resumable_stream_conformance._suite import rules_of
from resumable_stream_memory import MemoryBackend, MemoryJournal


def test_suite_itself_is_not_collected() -> None:
    assert JournalSuite.__test__ is False


def test_overriding_a_test_is_refused() -> None:
    with pytest.raises(TypeError, match="overrides a test of the conformance suite"):
        type("TestBlank", (JournalSuite,), {"test_append_has_one_winner": lambda _self: None})


def test_every_test_names_known_rules() -> None:
    tests = {
        name: getattr(JournalSuite, name) for name in dir(JournalSuite) if name.startswith("test_")
    }
    assert len(tests) > 30
    for name, test in tests.items():
        assert rules_of(test), name
        assert set(rules_of(test)) <= RULES.keys(), name
        assert test.__doc__, name


async def test_errors_tell_what_was_executed() -> None:
    faults = {1: Fault.UNAVAILABLE, 2: Fault.UNKNOWN_LOST, 3: Fault.UNKNOWN_EXECUTED}
    inner = MemoryJournal("faults")
    faulty = FaultyJournal(inner, FaultPlan(at=faults))
    with pytest.raises(BackendUnavailableError):
        await faulty.append("log", 0, b"zero", ttl=60)
    for executed in ([], [b"zero"]):
        with pytest.raises(OutcomeUnknownError):
            await faulty.append("log", 0, b"zero", ttl=60)
        assert await inner.read("log", 0, max_bytes=9) == executed
    assert await faulty.append("log", 0, b"late", ttl=60) is False
    assert (faulty.operations, faulty.suffered) == (4, faults)


async def test_faults_strike_deletes_and_reads() -> None:
    faults = {1: Fault.UNKNOWN_LOST, 2: Fault.UNKNOWN_EXECUTED, 4: Fault.UNKNOWN_LOST}
    inner = MemoryJournal("faults")
    faulty = FaultyJournal(inner, FaultPlan(at=faults))
    for kept in ([b"zero"], []):
        await inner.append("log", 0, b"zero", ttl=60)
        with pytest.raises(OutcomeUnknownError):
            await faulty.delete("log")
        assert await inner.read("log", 0, max_bytes=9) == kept
    assert await faulty.read("log", 0, max_bytes=9) == []
    # Nothing of a read is unknown.
    with pytest.raises(BackendUnavailableError):
        await faulty.read("log", 0, max_bytes=9)


async def test_slow_call_takes_its_time() -> None:
    faulty = FaultyJournal(MemoryJournal(), FaultPlan(at={1: Fault.SLOW}, seconds=0.05))
    started = time.monotonic()
    assert await faulty.append("log", 0, b"zero", ttl=60) is True
    assert time.monotonic() - started >= 0.05


async def test_journal_is_cut_off_alone() -> None:
    faulty = FaultyBackend(MemoryBackend("cut"))
    assert faulty.journal is not None
    faulty.journal.cut_off()
    with pytest.raises(BackendUnavailableError):
        await faulty.journal.append("log", 0, b"zero", ttl=60)
    assert await faulty.create("key", "value", ttl=60) is True
    faulty.journal.restore()
    assert await faulty.journal.read("log", 0, max_bytes=9) == []
    await faulty.aclose()


async def test_journal_is_cut_off_with_its_backend() -> None:
    faulty = FaultyBackend(MemoryBackend("cut"), FaultPlan(at={1: Fault.UNAVAILABLE}))
    assert faulty.journal is not None
    # The backend's plan is not the journal's.
    assert await faulty.journal.append("log", 0, b"zero", ttl=60) is True
    faulty.cut_off()
    with pytest.raises(BackendUnavailableError):
        await faulty.journal.read("log", 0, max_bytes=9)
    faulty.restore()
    assert await faulty.journal.read("log", 0, max_bytes=9) == [b"zero"]
    assert (faulty.operations, faulty.journal.operations) == (0, 3)
    await faulty.aclose()


async def test_deaf_backend_cuts_off_no_journal() -> None:
    faulty = FaultyBackend(MemoryBackend("deaf"), FaultPlan(at={1: Fault.CUT_OFF}, seconds=0.01))
    assert faulty.journal is not None
    await faulty.publish("channel", b"lost")
    assert await faulty.journal.append("log", 0, b"zero", ttl=60) is True
    await faulty.aclose()


async def test_observer_counts_calls_and_bytes() -> None:
    observed = ObservedBackend(FaultyBackend(MemoryBackend("observed")))
    assert isinstance(observed.journal, ObservedJournal)
    await observed.create("key", "value", ttl=60)
    assert observed.journal.calls.total() == 0
    await observed.journal.append("log", 0, b"four", ttl=60)
    await observed.journal.append("log", 0, b"refused", ttl=60)
    await observed.journal.append("log", 1, b"more", ttl=60)
    await observed.journal.read("log", 0, max_bytes=100)
    await observed.journal.read("log", 2, max_bytes=100)
    await observed.journal.delete("log")
    assert observed.journal.calls == {"append": 3, "read": 2, "delete": 1}
    assert (observed.journal.bytes_appended, observed.journal.bytes_read) == (8, 8)
    assert observed.calls == {"create": 1}
    await observed.aclose()


def test_wrappers_have_no_journal_where_the_inner_backend_has_none() -> None:
    lacking: Any = SimpleNamespace()
    assert ObservedBackend(lacking).journal is None
    assert FaultyBackend(lacking).journal is None


async def test_wrapper_closes_what_can_be_closed() -> None:
    inner = MemoryJournal("closed")
    await JournalWrapper(inner).aclose()
    with pytest.raises(BackendUnavailableError):
        await inner.read("log", 0, max_bytes=9)
    bare: Any = SimpleNamespace()
    await JournalWrapper(bare).aclose()
