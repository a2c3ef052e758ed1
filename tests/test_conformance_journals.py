"""Each deliberately broken journal is caught by the tests that name what it breaks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from resumable_stream_conformance import (
    BackendSuite,
    Capabilities,
    JournalSuite,
    _journal_time_laws,
)
from support.broken_journals import open_broken
from support.broken_lives import BACKENDS
from support.judging import caught_by, judge, with_installed

if TYPE_CHECKING:
    from pathlib import Path

EXPECTED = {
    "none": set[str](),
    # Each record goes in its own time, and a gap is accepted: both are allowed.
    "own-times": set[str](),
    "racy-append": {"test_append_has_one_winner", "test_seal_races_append"},
    "overwriting": {
        "test_append_has_one_winner",
        "test_cancelled_call_of_a_journal_answers_no_other",
        "test_overlapping_calls_keep_apart",
        "test_record_never_changes",
        "test_refused_append_changes_no_time",
        "test_seal_races_append",
        "test_unknown_append_is_told_by_reading",
    },
    "lying-index": {
        "test_cancelled_append_is_whole_or_absent",
        "test_cancelled_call_of_a_journal_answers_no_other",
        "test_gap_is_refused_or_read_as_gone",
        "test_overlapping_calls_keep_apart",
        "test_record_never_changes",
        "test_refused_append_changes_no_time",
        "test_unknown_append_is_told_by_reading",
    },
    "claims-the-taken": {
        "test_append_has_one_winner",
        "test_cancelled_append_is_whole_or_absent",
        "test_cancelled_call_of_a_journal_answers_no_other",
        "test_record_never_changes",
        "test_refused_append_changes_no_time",
        "test_seal_races_append",
        "test_unknown_append_is_told_by_reading",
    },
    "truncating": {"test_largest_record_is_kept", "test_sizes_are_kept_exactly"},
    "text-records": {
        "test_any_bytes_are_a_record",
        "test_large_first_record_comes_alone",
        "test_largest_record_is_kept",
        "test_pages_leave_nothing_out",
        "test_sizes_are_kept_exactly",
    },
    "boundless-records": {"test_oversize_record_is_refused"},
    "half-written": {"test_cancelled_append_is_whole_or_absent"},
    "ignored-ttl": {
        "test_each_append_has_its_own_time",
        "test_expired_log_begins_anew",
        "test_log_expires_soon_after",
        "test_old_time_ends_with_its_log",
        "test_refused_append_changes_no_time",
        "test_shorter_time_of_a_later_record_shortens_no_other",
    },
    "hasty-ttl": {
        "test_each_append_has_its_own_time",
        "test_record_lives_its_time",
    },
    "last-ttl": {"test_shorter_time_of_a_later_record_shortens_no_other"},
    "renewing-refusal": {"test_refused_append_changes_no_time"},
    "dropped-front": {
        "test_any_bytes_are_a_record",
        "test_any_index_begins_a_page",
        "test_delete_leaves_no_half_log",
        "test_each_append_has_its_own_time",
        "test_gap_is_refused_or_read_as_gone",
        "test_pages_leave_nothing_out",
        "test_reads_while_written_are_prefixes",
    },
    "holes": {
        "test_any_index_begins_a_page",
        "test_pages_leave_nothing_out",
        "test_sizes_are_kept_exactly",
    },
    "skipped-gap": {
        "test_delete_leaves_no_half_log",
        "test_each_append_has_its_own_time",
        "test_gap_is_refused_or_read_as_gone",
    },
    "too-much": {
        "test_large_first_record_comes_alone",
        "test_overlapping_calls_keep_apart",
        "test_pages_leave_nothing_out",
    },
    "stale-reads": {
        "test_append_has_one_winner",
        "test_append_is_read_everywhere",
        "test_seal_races_append",
    },
    "crossed-answers": {"test_cancelled_call_of_a_journal_answers_no_other"},
    "mixed-names": {"test_odd_logs_stay_apart"},
    "wildcard-delete": {"test_odd_log_deletes_itself_only"},
    "never-deletes": {
        "test_deleted_log_begins_anew",
        "test_odd_log_deletes_itself_only",
        "test_old_time_ends_with_its_log",
    },
    "deletes-the-newest": {
        "test_deleted_log_begins_anew",
        "test_old_time_ends_with_its_log",
    },
    "outlives-its-end": {"test_closed_journal_is_unavailable"},
    "ends-once": {
        "test_closed_journal_is_unavailable",
        "test_closed_journal_leaves_no_task",
        "test_closing_a_journal_twice_is_idempotent",
        "test_closing_spares_other_journals",
    },
    "takes-all-along": {
        "test_closed_journal_is_unavailable",
        "test_closing_spares_other_journals",
    },
    "leaves-a-task": {"test_closed_journal_leaves_no_task"},
    "needs-a-loop": {"test_journal_opens_without_a_loop"},
    "connects-once": {
        "test_append_has_one_winner",
        "test_first_journal_calls_may_overlap",
        "test_many_logs_at_once_stay_apart",
        "test_odd_logs_stay_apart",
        "test_overlapping_calls_keep_apart",
        "test_seal_races_append",
    },
    "strict-delete": {
        "test_delete_of_missing_log_is_quiet",
        "test_first_journal_calls_may_overlap",
    },
    "stuck-after-refusal": {"test_refused_gap_is_no_obstacle"},
    "gone-beyond-the-end": {
        "test_deleted_log_begins_anew",
        "test_expired_log_begins_anew",
        "test_log_expires_soon_after",
        "test_reads_nothing_at_the_end",
        "test_refused_append_changes_no_time",
    },
    "evicting": {"test_many_logs_at_once_stay_apart"},
    "announcing": {"test_log_is_no_channel"},
    "key-is-log": {"test_log_is_no_key"},
    "forgotten": {
        "test_closed_journal_is_unavailable",
        "test_journal_is_closed_with_its_backend",
    },
}


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process in which the broken journals are an installed package."""
    return with_installed(
        tmp_path_factory.mktemp("site"),
        "[resumable_stream.journals]\nbrokenjournal = support.broken_journals:open_broken\n",
    )


def suite_of(law: str) -> type[BackendSuite | JournalSuite]:
    if law in BACKENDS:
        capabilities = Capabilities(journal=True)
        members = {"open": lambda _self: BACKENDS[law](), "capabilities": capabilities}
        return type("TestBroken", (BackendSuite,), members)
    return type("TestBroken", (JournalSuite,), {"open": lambda _self: open_broken(f"x://{law}")})


@pytest.mark.timeout(240)
def test_broken_laws_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_journal_time_laws, "EXPIRY_SLACK", 2.0)
    # The journals that break one law share what they have.
    suites = {law: suite_of(law) for law in EXPECTED}
    assert caught_by("journal", suites, at_once=False) == EXPECTED


async def test_broken_journal_is_reported(strangers: dict[str, str], tmp_path: Path) -> None:
    code, out, err = await judge(
        strangers, tmp_path, "brokenjournal://racy-append", "--only", "append_has_one_winner"
    )
    assert (code, err) == (1, "")
    assert "FAILED test_append_has_one_winner [JN-1]" in out
    assert "AssertionError: 16 of 16 concurrent appends wrote" in out
    assert "DOES NOT CONFORM: 1 failed" in out


async def test_journal_conforms_by_itself(strangers: dict[str, str], tmp_path: Path) -> None:
    code, out, err = await judge(strangers, tmp_path, "brokenjournal://none")
    assert (code, err) == (0, "")
    assert out.startswith("Conformance of the journal brokenjournal://none\n")
    assert "JN-9 delete" in out
    assert "skipped" not in out
    assert "\nconforms: " in out


async def test_journal_of_a_backend_is_found(strangers: dict[str, str], tmp_path: Path) -> None:
    statuses = {}
    for option in ((), ("--without", "journal")):
        only = ("--only", "append_has_one_winner or log_is_no_key")
        code, out, _ = await judge(strangers, tmp_path, "memory://", "--json", *only, *option)
        report = json.loads(out)
        statuses[option] = {test["status"] for test in report["tests"]}
        assert (code, report["kind"]) == (int(bool(option)), "backend")
        assert report["capabilities"]["journal"] == (not option)
    assert statuses == {(): {"passed"}, ("--without", "journal"): {"skipped"}}


async def test_declared_journal_that_is_missing_fails(
    strangers: dict[str, str], tmp_path: Path
) -> None:
    code, out, _ = await judge(
        *(strangers, tmp_path, "support.broken_lives:open_without"),
        *("--with", "journal", "--only", "append_has_one_winner"),
    )
    assert code == 1
    assert "the capability 'journal' needs an attribute journal, not None" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--layer", "ports"), "is a journal: it has the layer journal, and not ports"),
        (("--without", "expiry"), "a journal declares no capabilities"),
    ],
)
async def test_journal_is_not_asked_what_it_is_not(
    arguments: tuple[str, ...], message: str, strangers: dict[str, str], tmp_path: Path
) -> None:
    code, out, err = await judge(strangers, tmp_path, "brokenjournal://none", *arguments)
    assert (code, out) == (2, "")
    assert message in err


async def test_unknown_scheme_tells_of_both(strangers: dict[str, str], tmp_path: Path) -> None:
    code, out, err = await judge(strangers, tmp_path, "nobody://")
    assert (code, out) == (2, "")
    assert "no installed backend handles 'nobody://'" in err
    assert "no installed journal handles 'nobody://'; there are brokenjournal://" in err
