"""Run the backends' tests with the lowest and with the newest client libraries that are allowed.

The bounds are those of ``pyproject.toml``. The lowest and the newest versions are each installed
into a temporary folder, which comes before the packages of the environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
DRIVERS = ("redis", "hiredis", "nats-py")
TESTS = (
    "tests/brokers",
    "tests/redis_backend",
    "tests/nats_backend",
    "tests/unit/test_drivers.py",
)
_SHOW = "from importlib.metadata import version; print(*map(version, {names!r}))"


def allowed() -> list[Requirement]:
    """Read which versions of each driver users may install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["nats"]]
    return [one for one in map(Requirement, lines) if one.name in DRIVERS]


def lowest(allowed: Requirement) -> str:
    (version,) = (one.version for one in allowed.specifier if one.operator == ">=")
    return f"{allowed.name}=={version}"


def newest(allowed: Requirement) -> str:
    return f"{allowed.name}{allowed.specifier}"


def passes_with(requirements: list[str], folder: str, arguments: list[str]) -> bool:
    """Install the packages into the folder, run the tests with them, and tell whether all pass."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", folder, *requirements], check=True)
    environment = {**os.environ, "PYTHONPATH": folder}
    show = [sys.executable, "-c", _SHOW.format(names=DRIVERS)]
    found = subprocess.run(show, env=environment, check=True, capture_output=True, text=True)
    versions = " ".join(map("==".join, zip(DRIVERS, found.stdout.split(), strict=True)))
    print(f"{' '.join(requirements)}: {versions}", flush=True)
    pytest = [sys.executable, "-m", "pytest", "--numprocesses=4", "--dist=worksteal", *TESTS]
    return (
        subprocess.run([*pytest, *arguments], cwd=ROOT, env=environment, check=False).returncode
        == 0
    )


def main(arguments: list[str]) -> int:
    failed = False
    for end in (lowest, newest):
        with tempfile.TemporaryDirectory(prefix="resumable-stream-drivers-") as folder:
            failed |= not passes_with([end(one) for one in allowed()], folder, arguments)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
