from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resumable_stream_sqlite import SqliteJournal, _file, _queue
from sqlite_journal.gate import Gate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.db"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[SqliteJournal]:
    journal = SqliteJournal(path)
    yield journal
    await journal.aclose()


@pytest.fixture
def tidy_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has expired is removed some twenty times a second."""
    monkeypatch.setattr(_file, "TIDY_INTERVAL", 0.05)
    monkeypatch.setattr(_queue, "TIDY_INTERVAL", 0.05)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()
