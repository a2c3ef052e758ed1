"""``python -m resumable_stream_conformance BACKEND``: the report on a backend."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import traceback
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from resumable_stream._registry import without_secrets
from resumable_stream.errors import BackendLookupError, ResumableStreamError
from resumable_stream.ports import Backend
from resumable_stream_conformance._capabilities import Capabilities
from resumable_stream_conformance._opening import open_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable_stream_conformance._report import Outcome

CONFORMS, FAILS, UNUSABLE = 0, 1, 2
REACH_TIMEOUT = 15.0
DOTS = {"passed": ".", "failed": "F", "skipped": "s"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite and print the report; return 0 only if every required test passed."""
    options = _parser().parse_args(arguments)
    try:
        from resumable_stream_conformance._run import LAYERS, run_suite  # noqa: PLC0415
    except ImportError as error:
        if error.name not in ("pytest", "pytest_asyncio"):
            raise
        return _unusable("run: pip install 'resumable-stream[conformance]'")
    unknown = sorted(set(options.layer or ()) - set(LAYERS))
    if unknown:
        return _unusable(f"no such layer: {', '.join(unknown)}; there are {', '.join(LAYERS)}")
    try:
        asyncio.run(_reach(options.backend))
    except TimeoutError:
        return _unusable(f"{without_secrets(options.backend)} did not answer a get in time")
    except ResumableStreamError as error:
        return _unusable(f"{type(error).__name__}: {error}")
    except Exception:  # noqa: BLE001 - the backend's own error: its author needs the traceback
        shown = without_secrets(options.backend)
        return _unusable(f"{shown} cannot be used:\n{traceback.format_exc().rstrip()}")
    capabilities = replace(
        Capabilities(),
        **dict.fromkeys(options.having or (), True),
        **dict.fromkeys(options.without or (), False),
    )
    report = run_suite(
        options.backend,
        capabilities,
        layers=tuple(options.layer or LAYERS),
        only=options.only,
        progress=_dot if sys.stderr.isatty() else lambda _outcome: None,
    )
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    text = json.dumps(report.as_json(), indent=2) if options.json else report.as_text()
    sys.stdout.write(text + "\n")
    return CONFORMS if report.sound else FAILS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m resumable_stream_conformance",
        description="Run the conformance suite on a backend.",
        epilog="Exit status: 0 all that is required passed, 1 it did not, 2 it could not be run.",
    )
    names = [item.name for item in fields(Capabilities)]
    parser.add_argument(
        "backend",
        help="a URL such as redis://localhost:6379, or module:factory, a function without "
        "arguments that is called for each opening",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the report as JSON, and nothing else"
    )
    parser.add_argument(
        "--layer", action="append", help="run only this layer: ports, protocol, faults"
    )
    parser.add_argument(
        "--only", metavar="EXPRESSION", help="run only matching tests, as pytest -k"
    )
    parser.add_argument(
        "--with",
        action="append",
        dest="having",
        choices=names,
        metavar="CAPABILITY",
        help=f"declare that the backend has a capability: {', '.join(names)}",
    )
    parser.add_argument(
        "--without",
        action="append",
        choices=names,
        metavar="CAPABILITY",
        help="declare that it lacks one; without a base capability nothing conforms",
    )
    return parser


async def _reach(place: str) -> None:
    backend: object = await open_at(place)
    if not isinstance(backend, Backend):
        raise BackendLookupError(
            f"{without_secrets(place)!r} gave {type(backend).__name__}, which is no Backend: "
            "it lacks methods that resumable_stream.ports lists"
        )
    try:
        async with asyncio.timeout(REACH_TIMEOUT):
            await backend.get("rs-conformance")
    finally:
        await backend.aclose()


def _dot(outcome: Outcome) -> None:
    sys.__stderr__ and sys.__stderr__.write(DOTS[outcome.status])


def _unusable(message: str) -> int:
    sys.stderr.write(f"resumable_stream_conformance: {message}\n")
    return UNUSABLE


if __name__ == "__main__":
    sys.exit(main())
