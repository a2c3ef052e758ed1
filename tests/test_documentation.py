"""The snippets of the documentation run, and the files that it links to exist."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.documentation import APPLICATIONS, ROOT, Snippet, run_snippet, snippets_of

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/web.md",
    "docs/ai.md",
    "docs/carry-on.md",
    "docs/sources.md",
    "docs/benchmarks.md",
    "docs/scaling.md",
)

SNIPPETS = [
    snippet
    for document in DOCUMENTS
    for snippet in snippets_of(document, (ROOT / document).read_text(encoding="utf-8"))
]
RUNNABLE = [snippet for snippet in SNIPPETS if snippet.way]


@pytest.mark.timeout(180)  # some wait for the leases of several producers
@pytest.mark.parametrize("snippet", RUNNABLE, ids=lambda s: f"{s.document}:{s.line}:{s.way}")
def test_snippet_does_what_it_says(
    snippet: Snippet, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = "redis" if snippet.way in APPLICATIONS else snippet.way
    needs_server = server in {"redis", "nats"}
    server_url = request.getfixturevalue(f"{server}_url") if needs_server else None
    run_snippet(snippet, tmp_path, server_url)


def test_no_snippet_escapes() -> None:
    assert [fault for snippet in SNIPPETS if (fault := snippet.fault())] == []
    assert any(snippet.is_python for snippet in RUNNABLE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("```python\nx\n```\n", "does not say how"),
        ("<!-- run: python -->\nwords between\n```py\nx\n```\n", "does not say how"),
        ("<!-- not run: tired -->\n```python\nx\n```\n", "always run"),
        ("<!-- run: perl -->\n```python\nx\n```\n", "is no way"),
        ("<!-- run: pytest -->\n```console\n$ x\n```\n", "is no way"),
        ("1. In a list:\n\n   ~~~python\n   x\n   ~~~\n", "does not say how"),
        ("```console\n$ x\n```\n", "does not say how"),
    ],
)
def test_wrong_marking_is_a_fault(text: str, words: str) -> None:
    (snippet,) = snippets_of("a.md", text)
    assert words in (snippet.fault() or "")


def test_every_fence_is_seen() -> None:
    for document in DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        fences = re.findall(r"^ *(?:```|~~~) *(?:python|py|console|sh|bash)", text, re.MULTILINE)
        assert len(fences) == len([s for s in SNIPPETS if s.document == document])


def test_failing_snippet_is_reported(tmp_path: Path) -> None:
    text = "<!-- run: python -->\n```python\nassert 1 == 2, 'so it is told'\n```\n"
    (snippet,) = snippets_of("a.md", text)
    with pytest.raises(AssertionError, match="so it is told"):
        run_snippet(snippet, tmp_path)


def test_code_comes_early_in_the_readme() -> None:
    before_code = (ROOT / "README.md").read_text(encoding="utf-8").partition("```python")[0]
    assert len(before_code.split()) < 150


@pytest.mark.parametrize("document", DOCUMENTS)
def test_linked_files_are_there(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text)]
    local = [target for target in targets if target and "://" not in target]
    assert local
    folder = (ROOT / document).parent
    assert [target for target in local if not (folder / target).exists()] == []
