"""Finds the fenced snippets of a Markdown file, and runs each as the comment before it says."""

from __future__ import annotations

import asyncio
import doctest
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from web.drivers import drive

ROOT = Path(__file__).parents[2]
# Applications: two processes on one Redis serve each of them, and a driver plays its clients.
APPLICATIONS = {
    *("fastapi", "chat", "events", "endpoint", "outage", "aiohttp", "owners", "use-chat", "openai"),
    *("cursor", "prefix", "start-over", "taskiq"),
}
PROGRAMS = {"python", "py", "python3"}
CONSOLES = {"console", "sh", "bash", "shell"}
_WAYS = {
    "python": {"python", "redis", "nats", "pytest", "collect"} | APPLICATIONS,
    "console": {"console"},
}

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<ticks>`{3,}|~{3,}) *(?P<language>[^\s`{]*).*\n"
    r"(?P<body>(?:.*\n)*?)"
    r"^ *(?P=ticks) *$",
    re.MULTILINE,
)
_MARK = re.compile(r"<!-- *(?P<kind>run|not run): *(?P<value>.+?) *-->\n+\Z")

# Run as in a user's own project: without this project's configuration, and still strict.
_PYTEST = (
    *("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-c", os.devnull),
    *("-o", "asyncio_default_fixture_loop_scope=function"),
)


@dataclass(frozen=True)
class Snippet:
    """One fenced snippet: ``way`` is how it is run, or None; ``excuse`` is why it is not run."""

    document: str
    line: int
    language: str
    body: str
    way: str | None
    excuse: str | None

    @property
    def is_python(self) -> bool:
        return self.language in PROGRAMS

    def fault(self) -> str | None:
        """Say what is wrong with the marking, if anything."""
        place = f"{self.document}:{self.line}"
        if self.is_python and self.excuse:
            return f"{place}: Python snippets are always run"
        kind = "python" if self.is_python else "console"
        if self.way is None and not self.excuse:
            return f"{place}: this {self.language} snippet does not say how it is run"
        if self.way is not None and self.way not in _WAYS[kind]:
            return f"{place}: {self.way!r} is no way to run {self.language}"
        return None


def snippets_of(document: str, text: str) -> list[Snippet]:
    """Return the program and console snippets; other languages are shown, not run."""
    found = []
    for fence in _FENCE.finditer(text):
        language = fence["language"].lower()
        if language not in PROGRAMS | CONSOLES:
            continue
        mark = _MARK.search(text[: fence.start()])
        kind, value = (mark["kind"], mark["value"]) if mark else (None, None)
        found.append(
            Snippet(
                document,
                text.count("\n", 0, fence.start()) + 1,
                language,
                re.sub(rf"^{fence['indent']}", "", fence["body"], flags=re.MULTILINE),
                way=value if kind == "run" else None,
                excuse=value if kind == "not run" else None,
            )
        )
    return found


def run_snippet(snippet: Snippet, folder: Path, server_url: str | None = None) -> None:
    """Run it in a process of its own; raise AssertionError with its output if it fails.

    A snippet that is run as ``redis`` or ``nats`` finds the server's URL in the environment. An
    application finds the URL of a Redis server there.
    """
    if snippet.way == "console":
        _run_console(snippet)
        return
    path = folder / f"test_{Path(snippet.document).stem.lower()}_{snippet.line}.py"
    # Empty lines before the snippet make tracebacks show its line numbers in the document.
    path.write_text("\n" * snippet.line + snippet.body, encoding="utf-8")
    match snippet.way:
        case "python":
            _run_python(["-W", "error", str(path)])
        case "redis" | "nats":
            assert server_url is not None
            variable = f"{snippet.way.upper()}_URL"
            _run_python(["-W", "error", str(path)], {variable: server_url})
        case "pytest":
            _run_python([*_PYTEST, str(path)])
        case "collect":
            _run_python([*_PYTEST, "--collect-only", str(path)])
        case str() as way if way in APPLICATIONS:
            assert server_url is not None
            asyncio.run(drive(way, path, server_url))
        case other:
            raise AssertionError(f"{other!r} is no way to run a snippet")


def _run_python(arguments: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _run_console(snippet: Snippet) -> None:
    """Run the command of each ``$`` line, and compare its output with the lines that follow."""
    blocks = re.split(r"^\$ ", snippet.body, flags=re.MULTILINE)
    assert not blocks[0].strip(), f"{snippet.document}:{snippet.line} starts with no command"
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    for block in blocks[1:]:
        command, _, expected = block.partition("\n")
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=ROOT,
            env=os.environ | {"PATH": programs},
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        checker = doctest.OutputChecker()
        assert checker.check_output(expected, done.stdout, doctest.ELLIPSIS), done.stdout
