"""Chromium for the tests, without a window.

It is the program in ``RESUMABLE_STREAM_TEST_CHROMIUM``, else one of the system, else one that
``playwright install chromium`` has put there, else, on Linux, that of the npm package in
``chromium/package.json``. A test that gets none fails.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Browser, Playwright, async_playwright

from support.npm import NODE, installed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VARIABLE = "RESUMABLE_STREAM_TEST_CHROMIUM"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_OF_MACOS = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
_UNPACK = Path(__file__).parent / "chromium" / "unpack.mjs"
_UNPACK_TIMEOUT = 50
_REMEDY = (
    f"no Chromium: install it (Debian: apt-get install chromium), run "
    f"{sys.executable} -m playwright install chromium, or name one in {VARIABLE}"
)
# A sandbox needs rights that a container lacks; and the browser must send nothing by itself.
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@asynccontextmanager
async def chromium(request: pytest.FixtureRequest | None = None) -> AsyncIterator[Browser]:
    """Run a browser; its pages are closed with it. Without a request, npm's is not looked for."""
    async with async_playwright() as playwright:
        program, more = _found(playwright, request)
        browser = await playwright.chromium.launch(
            executable_path=program, args=_ARGUMENTS, env={**os.environ, **more}
        )
        try:
            yield browser
        finally:
            await browser.close()


def _found(
    playwright: Playwright, request: pytest.FixtureRequest | None
) -> tuple[Path, dict[str, str]]:
    """The program, and the environment variables that it needs."""
    if named := os.environ.get(VARIABLE):
        return Path(named), {}
    for name in _NAMES:
        if path := shutil.which(name):
            return Path(path), {}
    for likely in (_OF_MACOS, Path(playwright.chromium.executable_path)):
        if likely.exists():
            return likely, {}
    if request is not None and sys.platform == "linux" and platform.machine() == "x86_64":
        return _unpacked(request)
    pytest.fail(_REMEDY, pytrace=False)


def _unpacked(request: pytest.FixtureRequest) -> tuple[Path, dict[str, str]]:
    unpack = installed(_UNPACK, request)
    folder = unpack.parent / "unpacked"
    folder.mkdir(exist_ok=True)
    # The script takes any files in the folder for complete, so only one process may unpack.
    with (unpack.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            [str(NODE), str(unpack)],
            env={**os.environ, "TMPDIR": str(folder)},
            capture_output=True,
            text=True,
            check=False,
            timeout=_UNPACK_TIMEOUT,
        )
    if done.returncode:
        shutil.rmtree(folder)
        pytest.fail(f"{_REMEDY}\n{done.stderr}", pytrace=False)
    told = json.loads(done.stdout)
    path = told["program"]
    libraries = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout  # noqa: S607
    lacking = "not found" in libraries
    return Path(path), {"LD_LIBRARY_PATH": told["libraries"]} if lacking else {}
