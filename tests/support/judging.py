"""Run the conformance suite: its laws by themselves, or its command as a program."""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from resumable_stream_conformance._run import LAYERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from resumable_stream_conformance import BackendSuite, JournalSuite

TESTS = Path(__file__).parent.parent
_AT_A_TIME = 64


def caught_by(
    layer: str, suites: Mapping[str, type[BackendSuite | JournalSuite]], *, at_once: bool
) -> dict[str, set[str]]:
    """Return for each suite which tests of the layer fail.

    Suites run at the same time, in threads: they mostly wait for something to expire. So do the
    tests of one suite if they may (``at_once``), because each opens something of its own.
    """
    jobs: list[tuple[str, list[str]]] = []
    for name, suite in suites.items():
        tests = [test for test in dir(suite) if test.startswith("test_")]
        chosen = [test for test in tests if _layer_has(layer, getattr(suite, test))]
        jobs += [(name, [test]) for test in chosen] if at_once else [(name, chosen)]
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        failed = pool.map(
            lambda job: [test for test in job[1] if _fails(suites[job[0]], test)], jobs
        )
        found: dict[str, set[str]] = {name: set() for name in suites}
        for (name, _), tests in zip(jobs, failed, strict=True):
            found[name].update(tests)
    return found


def _layer_has(layer: str, test: Any) -> bool:
    return test.__module__.rpartition(".")[2] in LAYERS[layer]


def _failed(suite: type[BackendSuite | JournalSuite], tests: Sequence[str]) -> list[str]:
    return [test for test in tests if _fails(suite, test)]


def _fails(suite: type[BackendSuite | JournalSuite], test: str) -> bool:
    try:
        asyncio.run(getattr(suite(), test)())
    except pytest.skip.Exception:
        return False
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - broken in its own way
        return True
    return False


def with_installed(site: Path, entry_points: str, **more: str) -> dict[str, str]:
    """Return the environment of a process in which a package with these entry points is installed.

    What it registers lies in the tests' own package ``support``.
    """
    installed = site / "strangers-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n", "utf-8"
    )
    (installed / "entry_points.txt").write_text(entry_points, "utf-8")
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(site), str(TESTS))), **more}


async def judge(
    environment: Mapping[str, str], directory: Path, *arguments: str
) -> tuple[int, str, str]:
    """Return the command's exit status, its report and its errors."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "resumable_stream_conformance", *arguments),
        env=environment,
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()
