"""Which URLs and paths name a journal's file, and what is said of the others."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import pytest

from resumable_stream import InvalidSettingError
from resumable_stream_sqlite import SqliteJournal, open_journal
from resumable_stream_sqlite._settings import path_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///answers.db", "answers.db"),
        ("SQLITE:///answers.db", "answers.db"),
        ("sqlite:///data/answers.db", "data/answers.db"),
        ("sqlite:///../answers.db", "../answers.db"),
        ("sqlite:////var/lib/answers.db", "/var/lib/answers.db"),
        ("sqlite:////var/lib/my%20answers%3F%23%25.db", "/var/lib/my answers?#%.db"),
        ("sqlite:///antw%C3%B6rter.db", "antwörter.db"),
        ("sqlite:///user@home.db", "user@home.db"),
        ("sqlite:///file:answers.db", "file:answers.db"),
    ],
)
def test_a_url_names_a_file(url: str, path: str) -> None:
    assert path_of(url) == os.path.abspath(path)  # noqa: PTH100 - as it is, links included


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:////", "names no file"),
        ("sqlite://answers.db", "names a host"),
        ("sqlite://localhost/answers.db", "names a host"),
        ("sqlite:///answers.db?mode=ro", "has parameters"),
        ("sqlite:///answers.db?", "has parameters"),
        ("sqlite:///answers.db#1", "has a fragment"),
        ("sqlite:///100%.db", "escapes nothing"),
        ("sqlite:///%ff.db", "not UTF-8"),
        ("sqlite:///%00.db", "NUL"),
        ("sqlite:///data/", "is a folder"),
        ("sqlite:///:memory:", "no restart survives"),
        ("answers.db", "not an SQLite URL"),
        ("sqlite:answers.db", "not an SQLite URL"),
        ("sqlite+aiosqlite:///answers.db", "not an SQLite URL"),
        (None, "URL is None"),
    ],
)
def test_another_url_is_refused_with_the_remedy(url: str, said: str) -> None:
    with pytest.raises(InvalidSettingError, match=f"{said}.*: (escape|leave|name|write) "):
        open_journal(url)


@pytest.mark.parametrize(
    "url", ["sqlite://user:secret@host/answers.db", "sqlite:///answers.db?key=secret"]
)
def test_a_refusal_shows_no_secret(url: str) -> None:
    with pytest.raises(InvalidSettingError, match=r"answers\.db") as refused:
        open_journal(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("path", ["", ":memory:", "data/", "\0", b"answers.db", None])
def test_a_path_that_names_no_file_is_refused(path: str) -> None:
    with pytest.raises(InvalidSettingError, match="path"):
        SqliteJournal(path)


@pytest.mark.parametrize("timeout", [0, -1, "5", None, float("nan")])
def test_a_timeout_is_a_positive_number(timeout: float) -> None:
    with pytest.raises(InvalidSettingError, match="timeout"):
        SqliteJournal("answers.db", timeout=timeout)


async def test_a_relative_path_is_that_of_the_folder_where_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    journal = open_journal("sqlite:///answers.db")
    monkeypatch.chdir("/")
    assert await journal.append("log", 0, b"", ttl=60)
    await journal.aclose()
    assert (tmp_path / "answers.db").exists()


def test_opening_touches_nothing(tmp_path: Path) -> None:
    open_journal(f"sqlite:///{tmp_path}/answers.db")
    assert list(tmp_path.iterdir()) == []


def test_the_scheme_leads_to_this_package() -> None:
    (point,) = entry_points(group="resumable_stream.journals", name="sqlite")
    assert point.load() is open_journal
