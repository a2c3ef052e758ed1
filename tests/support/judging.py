"""Run the conformance suite's command as a program."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TESTS = Path(__file__).parent.parent


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
