"""The SQLite journal holds the whole contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resumable_stream_conformance import JournalSuite
from resumable_stream_sqlite import SqliteJournal

if TYPE_CHECKING:
    from pathlib import Path


class TestSqliteJournal(JournalSuite):
    @pytest.fixture(autouse=True)
    def _in_a_file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "answers.db"

    def open(self) -> SqliteJournal:
        return SqliteJournal(self.path)
