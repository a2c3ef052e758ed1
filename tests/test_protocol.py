"""The specification and the tests point at each other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
RULE = re.compile(r"\b(?:(?:KV|PS|BE|SEN|REQ|FRM|LSN|V1|END)-\d+|P\d{1,2})\b")
MARKER = re.compile(r"@(?:pytest\.mark\.)?rule\(([^)]*)\)")
STATED = re.compile(r"^- \*\*([A-Z0-9]+(?:-\d+)?)\*\*", re.MULTILINE)

# A broker that can be broken, or a TypeScript peer, is needed for these: the backends' own tests.
ELSEWHERE = {"BE-2", "BE-6", "P11"}


def stated() -> list[str]:
    return STATED.findall((ROOT / "conformance" / "PROTOCOL.md").read_text("utf-8"))


def cited() -> set[str]:
    """The rules that tests name in their markers."""
    found: set[str] = set()
    for folder in ("tests", "conformance/resumable_stream_conformance"):
        for path in (ROOT / folder).rglob("*.py"):
            for marker in MARKER.findall(path.read_text("utf-8")):
                found |= set(RULE.findall(marker))
    return found


def test_rules_are_stated_once() -> None:
    rules = stated()
    assert len(rules) == len(set(rules)) > 50


def test_every_rule_has_a_test() -> None:
    assert set(stated()) - cited() - ELSEWHERE == set()


def test_tests_cite_only_rules_that_exist() -> None:
    assert cited() <= set(stated())


def test_the_ports_cite_only_rules_that_exist() -> None:
    text = (ROOT / "src" / "resumable_stream" / "ports.py").read_text("utf-8")
    assert set(RULE.findall(text)) <= set(stated())
