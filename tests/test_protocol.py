"""The specification and the tests point at each other."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
RULE = re.compile(r"\b(?:(?:KV|PS|BE|JN|JNL|SEN|REQ|FRM|LSN|V1|END|CNT)-\d+|P\d{1,2})\b")
MARKER = re.compile(r"@(?:pytest\.mark\.)?rule\(([^)]*)\)")
STATED = re.compile(r"^- \*\*([A-Z0-9]+(?:-\d+)?)\*\*", re.MULTILINE)

# The backends' own tests prove these, with a broker that can be broken or a TypeScript peer.
ELSEWHERE = {"BE-2", "BE-6", "P11"}


def stated() -> list[str]:
    return STATED.findall((ROOT / "conformance" / "PROTOCOL.md").read_text("utf-8"))


def cited() -> set[str]:
    """Return the rules that tests name in their markers."""
    found: set[str] = set()
    for folder in ("tests", "conformance/resumable_stream_conformance"):
        for path in (ROOT / folder).rglob("*.py"):
            for marker in MARKER.findall(path.read_text("utf-8")):
                found |= set(RULE.findall(marker))
    return found


def collected(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_tests_are_selected_by_what_they_prove() -> None:
    where = ("tests/unit/test_one_ending.py", "tests/test_conformance_memory.py")
    proving = collected("--rule", "END-7", "--promise", "P9", *where).stdout
    assert "test_a_reader_that_gave_up_gets_the_rest_and_the_recorded_end" in proving
    assert "test_cancel_races_the_start" in proving
    assert "test_an_ending_is_not_forgotten_before_the_stream_is" not in proving
    assert "test_completed_for_every_reader" not in proving


def test_a_rule_that_nothing_proves_is_told() -> None:
    done = collected("--rule", "LSN-99", "tests/unit/test_one_ending.py")
    assert done.returncode != 0
    assert "no test here proves LSN-99" in done.stderr + done.stdout


def test_rules_are_stated_once() -> None:
    rules = stated()
    assert len(rules) == len(set(rules)) > 50


def test_every_rule_has_a_test() -> None:
    assert set(stated()) - cited() - ELSEWHERE == set()


def test_tests_cite_only_rules_that_exist() -> None:
    assert cited() <= set(stated())


def test_the_ports_cite_only_rules_that_exist() -> None:
    for module in ("ports.py", "journal.py"):
        text = (ROOT / "src" / "resumable_stream" / module).read_text("utf-8")
        assert set(RULE.findall(text)) <= set(stated())
