"""The report card of a backend that a function opens: ``module:factory`` in place of a URL."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from support.judging import TESTS, judge

if TYPE_CHECKING:
    from pathlib import Path

# A backend's module in its author's folder, before any entry point is registered.
MODULE = """
import os
from pathlib import Path

from support.broken_backends import RacyCreate
from resumable_stream_memory import MemoryBackend, MemoryJournal
from resumable_stream_redis import RedisBackend

NUMBER = 7


def open_mine():
    with Path("openings").open("a") as openings:
        openings.write("one\\n")
    return MemoryBackend("mine")


async def open_later():
    return open_mine()


class Kept:
    @staticmethod
    def open():
        return open_mine()


def open_my_journal():
    return MemoryJournal("mine")


class Bare:
    def __init__(self):
        inner = MemoryJournal("bare")
        self.append, self.read, self.delete = inner.append, inner.read, inner.delete
        self.max_record_size = inner.max_record_size


def open_racy():
    return RacyCreate(MemoryBackend("racy"))


def open_redis():
    return RedisBackend(os.environ["REDIS_URL"])


def open_nothing():
    return None


def open_with(url):
    return MemoryBackend(url)


def open_half():
    class Half:
        async def get(self, key):
            return None

    return Half()


def raises():
    raise OSError("the disk is full")
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MODULE, "utf-8")
    (tmp_path / "broken_module.py").write_text("import there_is_no_such_package\n", "utf-8")
    return tmp_path


async def judge_here(directory: Path, *arguments: str, **more: str) -> tuple[int, str, str]:
    return await judge({**os.environ, "PYTHONPATH": str(TESTS), **more}, directory, *arguments)


@pytest.mark.parametrize("factory", ["open_mine", "open_later", "Kept.open"])
async def test_factory_is_called_for_each_opening(factory: str, directory: Path) -> None:
    code, out, err = await judge_here(
        directory, f"mine:{factory}", "--json", "--only", "create_has_one_winner"
    )
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["url"] == f"mine:{factory}"
    assert [test["status"] for test in report["tests"]] == ["passed"]
    # It is called once to see whether the backend answers, and then for each adapter of the test.
    assert (directory / "openings").read_text().count("one") > 2


@pytest.mark.parametrize(("factory", "closed"), [("open_my_journal", 1), ("Bare", 0)])
async def test_factory_may_open_a_journal(factory: str, closed: int, directory: Path) -> None:
    code, out, err = await judge_here(
        *(directory, f"mine:{factory}", "--json"),
        *("--only", "append_has_one_winner or journal_twice or create_has_one_winner"),
    )
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert (report["kind"], report["capabilities"]) == ("journal", {})
    assert {test["test"]: test["status"] for test in report["tests"]} == {
        "test_append_has_one_winner": "passed",
        "test_closing_a_journal_twice_is_idempotent": "passed" if closed else "skipped",
    }


async def test_factory_whose_backend_breaks_a_law_fails(directory: Path) -> None:
    code, out, _ = await judge_here(directory, "mine:open_racy", "--only", "create_has_one_winner")
    assert code == 1
    assert "Conformance of mine:open_racy" in out
    assert "FAILED test_create_has_one_winner [KV-2, P5]" in out


async def test_other_process_calls_the_factory_too(directory: Path, redis_url: str) -> None:
    code, out, err = await judge_here(
        *(directory, "mine:open_redis", "--json", "--with", "shared_between_processes"),
        *("--only", "other_process"),
        REDIS_URL=redis_url,
    )
    assert (code, err) == (0, "")
    assert [test["status"] for test in json.loads(out)["tests"]] == ["passed"]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nowhere:open", "No module named 'nowhere'"),
        ("broken_module:open", "No module named 'there_is_no_such_package'"),
        ("mine:absent", "module 'mine' has no 'absent'"),
        ("mine:Kept.absent", "module 'mine' has no 'Kept.absent'"),
        ("mine:NUMBER", "'mine:NUMBER' is of type int: name a function"),
        ("mine:open_nothing", "gave NoneType, which is no Backend and no Journal"),
        ("mine:open_half", "gave Half, which is no Backend and no Journal"),
        ("mine:open_with", "missing 1 required positional argument"),
        ("mine:raises", "OSError: the disk is full"),
        ("mine", "'mine' is neither a URL"),
        ("mine:", "'mine:' is neither a URL"),
        (":open_mine", "':open_mine' is neither a URL"),
        ("mine.py:open mine", "is neither a URL"),
    ],
)
async def test_unusable_factory_is_told_apart(place: str, message: str, directory: Path) -> None:
    code, out, err = await judge_here(directory, place)
    assert (code, out) == (2, "")
    assert message in err
    assert ("Traceback" in err) == (place in ("mine:raises", "mine:open_with"))
