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
    from collections.abc import Mapping

    from resumable_stream_conformance import BackendSuite, JournalSuite

TESTS = Path(__file__).parent.parent


def caught_by(
    layer: str, suites: Mapping[str, type[BackendSuite | JournalSuite]]
) -> dict[str, set[str]]:
    """Return for each suite which tests of the layer fail.

    The suites run at the same time, each in a thread: they mostly wait for something to expire.
    """
    with ThreadPoolExecutor(len(suites)) as pool:
        failed = pool.map(lambda suite: _failed(layer, suite), suites.values())
        return dict(zip(suites, failed, strict=True))


def _failed(layer: str, suite: type[BackendSuite | JournalSuite]) -> set[str]:
    tests = {name: getattr(suite, name) for name in dir(suite) if name.startswith("test_")}
    failed = set()
    for name, test in tests.items():
        if test.__module__.rpartition(".")[2] in LAYERS[layer]:
            try:
                asyncio.run(test(suite()))
            except pytest.skip.Exception:
                continue
            except (Exception, pytest.fail.Exception):  # noqa: BLE001 - broken in its own way
                failed.add(name)
    return failed


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
