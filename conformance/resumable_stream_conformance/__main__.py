"""``python -m resumable_stream_conformance PLACE``: the report on a backend or a journal."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import traceback
from dataclasses import fields, replace
from typing import TYPE_CHECKING, NamedTuple

from resumable_stream._registry import without_secrets
from resumable_stream.errors import ResumableStreamError
from resumable_stream.journal import OpenedJournal
from resumable_stream.ports import Backend
from resumable_stream_conformance._capabilities import Capabilities
from resumable_stream_conformance._journal_wrapper import journal_of
from resumable_stream_conformance._opening import open_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resumable_stream_conformance._report import Kind, Outcome

CONFORMS, FAILS, UNUSABLE = 0, 1, 2
REACH_TIMEOUT = 15.0
DOTS = {"passed": ".", "failed": "F", "skipped": "s"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite and print the report; return 0 only if every required test passed."""
    options = _parser().parse_args(arguments)
    try:
        from resumable_stream_conformance._run import (  # noqa: PLC0415
            LAYERS,
            layers_of,
            run_suite,
        )
    except ImportError as error:
        if error.name not in ("pytest", "pytest_asyncio"):
            raise
        return _unusable("run: pip install 'resumable-stream[conformance]'")
    unknown = sorted(set(options.layer or ()) - set(LAYERS))
    if unknown:
        return _unusable(f"no such layer: {', '.join(unknown)}; there are {', '.join(LAYERS)}")
    try:
        found = asyncio.run(_reach(options.place))
    except TimeoutError:
        return _unusable(f"{without_secrets(options.place)} did not answer a read in time")
    except ResumableStreamError as error:
        return _unusable(f"{type(error).__name__}: {error}")
    except Exception:  # noqa: BLE001 - the backend's own error: its author needs the traceback
        shown = without_secrets(options.place)
        return _unusable(f"{shown} cannot be used:\n{traceback.format_exc().rstrip()}")
    if found.kind == "journal" and (options.having or options.without):
        return _unusable("a journal declares no capabilities: leave --with and --without out")
    layers = layers_of(found.kind)
    if chosen := set(options.layer or ()) - set(layers):
        return _unusable(
            f"{without_secrets(options.place)} is a journal: it has the layer {', '.join(layers)}, "
            f"and not {', '.join(sorted(chosen))}"
        )
    capabilities = replace(
        Capabilities(journal=found.journal),
        **dict.fromkeys(options.having or (), True),
        **dict.fromkeys(options.without or (), False),
    )
    report = run_suite(
        options.place,
        capabilities,
        kind=found.kind,
        layers=tuple(options.layer or layers),
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
        description="Run the conformance suite on a backend, or on a journal by itself.",
        epilog="Exit status: 0 all that is required passed, 1 it did not, 2 it could not be run.",
    )
    names = [item.name for item in fields(Capabilities)]
    parser.add_argument(
        "place",
        help="a URL such as redis://localhost:6379, or module:factory, a function without "
        "arguments that is called for each opening; it opens a backend or a journal",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the report as JSON, and nothing else"
    )
    parser.add_argument(
        "--layer", action="append", help="run only this layer: ports, protocol, faults, journal"
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
        help=f"declare that the backend has a capability: {', '.join(names)}; a journal is "
        "found without that",
    )
    parser.add_argument(
        "--without",
        action="append",
        choices=names,
        metavar="CAPABILITY",
        help="declare that it lacks one; without a base capability nothing conforms",
    )
    return parser


class _Found(NamedTuple):
    """What is at the place."""

    kind: Kind
    journal: bool


async def _reach(place: str) -> _Found:
    opened = await open_at(place)
    try:
        async with asyncio.timeout(REACH_TIMEOUT):
            if isinstance(opened, Backend):
                await opened.get("rs-conformance")
                return _Found("backend", journal=journal_of(opened) is not None)
            await opened.read("rs-conformance", 0, max_bytes=1)
            return _Found("journal", journal=True)
    finally:
        if isinstance(opened, Backend | OpenedJournal):
            await opened.aclose()


def _dot(outcome: Outcome) -> None:
    sys.__stderr__ and sys.__stderr__.write(DOTS[outcome.status])


def _unusable(message: str) -> int:
    sys.stderr.write(f"resumable_stream_conformance: {message}\n")
    return UNUSABLE


if __name__ == "__main__":
    sys.exit(main())
