from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from resumable_stream import (
    BackendLookupError,
    DuplicateSchemeError,
    InvalidSettingError,
    MissingDriverError,
    NoBackendError,
    UnknownSchemeError,
    create_resumable_stream_context,
)
from resumable_stream._registry import GROUP, JOURNAL_GROUP, find_journal_opener, find_opener
from resumable_stream_memory import MemoryBackend, open_backend, open_journal


def install(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str], group: str = GROUP) -> None:
    """Pretend that these entry points, and no others, are installed."""
    found = EntryPoints(EntryPoint(name, value, group) for name, value in points)

    def entry_points(**params: Any) -> EntryPoints:
        return found.select(**params)

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)


def test_our_own_backends_are_found_like_any_other() -> None:
    assert find_opener("memory://x") is open_backend
    assert find_opener("MEMORY://x") is open_backend


@pytest.mark.parametrize("url", ["mqtt://localhost", "localhost:6379", "", "://x"])
def test_an_unknown_scheme_says_what_is_known(url: str) -> None:
    with pytest.raises(UnknownSchemeError, match="memory://"):
        create_resumable_stream_context(url or "x")


def test_secrets_of_a_wrong_url_are_not_told() -> None:
    with pytest.raises(UnknownSchemeError) as caught:
        create_resumable_stream_context("user:hunter2@localhost")
    assert "hunter2" not in str(caught.value)


def test_a_scheme_registered_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("x", "resumable_stream_memory:open_backend"), ("x", "other:open"))
    with pytest.raises(DuplicateSchemeError, match="uninstall all but one"):
        create_resumable_stream_context("x://")


def test_the_same_registration_seen_twice_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, *[("x", "resumable_stream_memory:open_backend")] * 2)
    assert find_opener("x://") is open_backend


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("no_such_driver.backend:open", "pip install 'no_such_driver'"),
        ("no_such_driver:open [nats]", r"pip install 'resumable-stream\[nats\]'"),
    ],
)
def test_a_missing_driver_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, value: str, remedy: str
) -> None:
    install(monkeypatch, ("x", value))
    with pytest.raises(MissingDriverError, match=remedy) as caught:
        create_resumable_stream_context("x://")
    assert isinstance(caught.value, ImportError)


def test_our_own_journals_are_found_like_any_other() -> None:
    assert find_journal_opener("memory://x") is open_journal
    assert find_journal_opener("MEMORY://x") is open_journal


@pytest.mark.parametrize("url", ["mqtt://localhost", "localhost:6379", "", "://x"])
def test_an_unknown_journal_says_what_is_known(url: str) -> None:
    with pytest.raises(UnknownSchemeError, match=r"journal .*memory://"):
        find_journal_opener(url)


def test_a_backend_is_no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("x", "resumable_stream_memory:open_backend"))
    with pytest.raises(UnknownSchemeError, match="no installed journal handles 'x://'"):
        find_journal_opener("x://")
    install(monkeypatch, ("x", "resumable_stream_memory:open_journal"), group=JOURNAL_GROUP)
    assert find_journal_opener("x://") is open_journal
    with pytest.raises(UnknownSchemeError, match="no installed backend handles 'x://'"):
        find_opener("x://")


def test_a_journal_registered_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    points = (("x", "resumable_stream_memory:open_journal"), ("x", "other:open"))
    install(monkeypatch, *points, group=JOURNAL_GROUP)
    with pytest.raises(DuplicateSchemeError, match="the journal you mean as journal="):
        find_journal_opener("x://")


def test_a_missing_driver_of_a_journal_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, ("x", "no_such_driver:open [nats]"), group=JOURNAL_GROUP)
    remedy = r"the journal for 'x://' .* pip install 'resumable-stream\[nats\]'"
    with pytest.raises(MissingDriverError, match=remedy):
        find_journal_opener("x://")


def test_the_environment_names_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.delenv("KV_URL", raising=False)
    with pytest.raises(NoBackendError, match="REDIS_URL"):
        create_resumable_stream_context()
    monkeypatch.setenv("KV_URL", "nope://kv")
    with pytest.raises(UnknownSchemeError, match="nope"):
        create_resumable_stream_context()
    monkeypatch.setenv("REDIS_URL", "memory://environment")
    create_resumable_stream_context()


def test_two_backends_at_once_are_refused() -> None:
    with pytest.raises(InvalidSettingError, match="not several"):
        create_resumable_stream_context("memory://", backend=MemoryBackend())
    with pytest.raises(InvalidSettingError, match="not several"):
        create_resumable_stream_context("memory://", redis_url="memory://")


def test_the_announced_keyword_opens_a_backend() -> None:
    create_resumable_stream_context(redis_url="memory://announced")


def test_lookup_errors_share_a_base() -> None:
    for kind in (NoBackendError, UnknownSchemeError, DuplicateSchemeError, MissingDriverError):
        assert issubclass(kind, BackendLookupError)


IMPORTED = """
import sys
before = set(sys.modules)
import resumable_stream
print(*sorted(set(sys.modules) - before), sep="\\n")
"""


def test_the_core_imports_no_backend_and_no_driver() -> None:
    run = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True
    )
    roots = {name.partition(".")[0] for name in run.stdout.split()}
    ours = {root for root in roots if root.startswith("resumable_stream")}
    assert ours == {"resumable_stream"}
    assert roots - ours <= sys.stdlib_module_names
    assert not roots & {"argparse", "importlib_metadata", "unittest"}
    assert "importlib.metadata" not in run.stdout.split()


def test_opening_one_backend_imports_no_other() -> None:
    script = IMPORTED + "resumable_stream.create_resumable_stream_context('memory://')\n"
    script += "print('then', *sorted(set(sys.modules) - before), sep='\\n')"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    after = run.stdout.partition("then")[2].split()
    ours = {name.partition(".")[0] for name in after if name.startswith("resumable_stream")}
    assert ours == {"resumable_stream", "resumable_stream_memory"}
    assert not {"redis", "nats"} & set(after)
