"""Each deliberately broken backend is caught by the tests that name what it breaks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from resumable_stream_conformance import BackendSuite, Capabilities
from support.broken_backends import open_broken
from support.judging import caught_by, judge, with_installed

if TYPE_CHECKING:
    from pathlib import Path

EXPECTED = {
    "none": set[str](),
    "racy-create": {"test_create_has_one_winner"},
    "blind-compare-and-set": {
        "test_compare_and_set_has_one_winner",
        "test_compare_and_set_loses_no_update",
        "test_compare_and_set_refuses_other_value",
        "test_last_write_sets_the_time",
    },
    "ignored-ttl": {
        "test_expired_key_is_absent",
        "test_key_expires_soon_after",
        "test_last_write_sets_the_time",
        "test_renewals_leave_other_values",
        "test_renewals_revive_no_key",
        "test_renewed_keys_live_on",
        "test_writing_again_renews",
    },
    "early-subscribe": {
        "test_concurrent_subscribes_are_live",
        "test_counts_come_in_the_order_asked",
        "test_odd_channels_stay_apart",
        "test_subscribe_returns_when_live",
        "test_subscribing_again_is_live",
    },
    "lost-unsubscribe": {
        "test_cancelled_subscribe_leaves_nothing",
        "test_close_under_fire_is_final",
        "test_closed_subscription_stays_silent",
        "test_closing_tells_live_subscriptions",
        "test_last_subscriber_makes_the_difference",
    },
    "greedy-unsubscribe": {
        "test_closing_tells_live_subscriptions",
        "test_closing_twice_is_quiet",
        "test_last_subscriber_makes_the_difference",
        "test_unsubscribe_spares_the_sibling",
    },
    "reordering-publish": {"test_overlapping_publishes_keep_order"},
    "wildcard-names": {
        "test_odd_channels_are_counted_apart",
        "test_odd_channels_stay_apart",
        "test_wildcard_hears_nobody_else",
    },
    "truncated-names": {"test_odd_keys_and_values_are_renewed", "test_odd_keys_stay_apart"},
    "short-sighted": {
        "test_closed_adapters_are_not_counted",
        "test_counts_come_in_the_order_asked",
        "test_odd_channels_are_counted_apart",
        "test_subscribers_are_counted_everywhere",
    },
    "blind-renewals": {
        "test_answers_to_renewals_come_in_order",
        "test_odd_keys_and_values_are_renewed",
        "test_renewals_are_cancellable",
        "test_renewals_leave_other_values",
        "test_renewals_overwrite_no_concurrent_write",
        "test_renewals_revive_no_key",
    },
    "idle-renewals": {"test_renewed_keys_live_on"},
    "racy-renewals": {"test_renewals_overwrite_no_concurrent_write"},
    "silent-close": {"test_closing_tells_live_subscriptions", "test_handlers_run_on_the_loop"},
}


def suite_of(law: str) -> type[BackendSuite]:
    capabilities = Capabilities(counts_subscribers=True, renews_many=True)
    members = {
        "open": lambda self: open_broken(f"x://{law}/{id(self)}"),
        "capabilities": capabilities,
    }
    return type("TestBroken", (BackendSuite,), members)


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process in which the broken backends are an installed package."""
    return with_installed(
        tmp_path_factory.mktemp("site"),
        "[resumable_stream.backends]\nbroken = support.broken_backends:open_broken\n",
        PYTEST_ADDOPTS="--no-such-option",
    )


@pytest.mark.timeout(240)
def test_broken_laws_are_caught() -> None:
    suites = {law: suite_of(law) for law in EXPECTED}
    assert caught_by("ports", suites, at_once=True) == EXPECTED


async def test_failure_shows_the_values(strangers: dict[str, str], tmp_path: Path) -> None:
    code, out, err = await judge(
        strangers, tmp_path, "broken://racy-create", "--only", "create_has_one_winner"
    )
    assert code == 1
    assert "FAILED test_create_has_one_winner [KV-2, P5]" in out
    assert "AssertionError: 16 of 16 concurrent creates wrote" in out
    assert "DOES NOT CONFORM: 1 failed" in out
    assert err == ""


async def test_partial_run_never_conforms(strangers: dict[str, str], tmp_path: Path) -> None:
    code, out, _ = await judge(strangers, tmp_path, "memory://", "--json", "--only", "KV or create")
    report = json.loads(out)
    assert code == 0
    assert (report["conforms"], report["complete"]) == (False, False)


async def test_missing_base_capability_fails(strangers: dict[str, str], tmp_path: Path) -> None:
    code, out, _ = await judge(
        *(strangers, tmp_path, "memory://", "--json", "--layer", "ports"),
        *("--without", "expiry", "--without", "atomic_create"),
    )
    report = json.loads(out)
    statuses = {test["test"]: test["status"] for test in report["tests"]}
    assert code == 1
    assert not report["conforms"]
    assert report["missing_base_capabilities"] == ["atomic_create", "expiry"]
    assert statuses["test_lacks_no_base_capability"] == "failed"
    assert statuses["test_create_has_one_winner"] == "skipped"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nobody://", "UnknownSchemeError"),
        ("no url", "UnknownSchemeError"),
    ],
)
async def test_unusable_url_is_told_apart(
    url: str, message: str, strangers: dict[str, str], tmp_path: Path
) -> None:
    code, out, err = await judge(strangers, tmp_path, url)
    assert (code, out) == (2, "")
    assert message in err
