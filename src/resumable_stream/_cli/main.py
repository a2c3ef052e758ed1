"""The ``resumable-stream`` command."""

from __future__ import annotations

import argparse
import asyncio
import io
import logging
import sys
from typing import TYPE_CHECKING, NoReturn

from resumable_stream._cli.console import (
    EXIT_STATUSES,
    PROGRAM,
    ExitStatus,
    discard_stdout,
    report,
    run,
    status_of,
)
from resumable_stream.errors import NoBackendError, ResumableStreamError

if TYPE_CHECKING:
    from collections.abc import Sequence

_STDIN = 0
_STDOUT = 1
_HIGHEST_PORT = 65535

_PRODUCE = """\
Start a stream with the text of standard input, and stay until it has ended.

Ctrl-C cancels the stream: its readers learn that it was cancelled, not that it completed. Input
that is not UTF-8 makes the stream fail, unless --errors=replace is given.

  make 2>&1 | resumable-stream produce build-42 --tee"""

_FOLLOW = """\
Write a stream's text to standard output as it comes.

Ctrl-C leaves the stream running, and writes to standard error the offset to continue from. Offsets
count UTF-16 code units, as JavaScript's string.length does."""

_STATUS = """\
Write a stream's state: active, completed, failed, cancelled, lost or not_found.

The exit status follows the state; active counts as 0."""

_CANCEL = """\
Stop a stream from any machine, and write the result.

The exit status is 0 if the stream is over now: cancelled, or already_over."""

_DEMO = """\
Stream a file's text from one instance, cut its reader part-way, resume on a second instance, follow
on a third, and compare what was read with the file, byte for byte.

With --web, serve a page on which you do all that yourself, until Ctrl-C; it needs the extra "web".
With a broker (--url) each instance is a process of its own, which you can kill."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        report(f"{message} (see {self.prog} --help)")
        sys.exit(ExitStatus.USAGE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        try:
            return _dispatch(_parser().parse_args(argv))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        discard_stdout()
        return ExitStatus.BROKEN_PIPE
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    except NoBackendError:
        report("no backend: give --url, or set REDIS_URL or KV_URL in the environment")
        return ExitStatus.USAGE
    except ResumableStreamError as error:
        report(str(error))
        return status_of(error)
    except OSError as error:
        report(error.strerror or str(error))
        discard_stdout()
        return ExitStatus.FAILED


def _dispatch(arguments: argparse.Namespace) -> int:
    if arguments.verbose:
        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(name)s: %(message)s")
    else:
        # Without a handler, warnings would reach standard error between our own lines.
        logging.getLogger("resumable_stream").addHandler(logging.NullHandler())
    if arguments.command == "demo":
        # Imported only here: the other commands do not need it.
        if arguments.web:
            return _demo_in_browser(arguments)
        if arguments.host is not None or arguments.port is not None:
            report("--host and --port are for the page: give --web, too")
            return ExitStatus.USAGE
        from resumable_stream._cli.demo.story import demo  # noqa: PLC0415

        return run(demo(arguments.file, arguments.url, sys.stdout))
    return run(_on_a_context(arguments))


def _demo_in_browser(arguments: argparse.Namespace) -> int:
    try:
        from resumable_stream._cli.demo.web.program import web_demo  # noqa: PLC0415
    except ModuleNotFoundError as error:
        report(
            f"demo --web needs {error.name}, which is not installed; "
            "run: pip install 'resumable-stream[web]'"
        )
        return ExitStatus.USAGE
    host = arguments.host or "127.0.0.1"
    return run(web_demo(arguments.file, arguments.url, host, arguments.port, sys.stdout))


async def _on_a_context(arguments: argparse.Namespace) -> int:
    from resumable_stream import create_resumable_stream_context  # noqa: PLC0415
    from resumable_stream._cli import commands  # noqa: PLC0415
    from resumable_stream._cli.stdio import Input, Output  # noqa: PLC0415

    context = create_resumable_stream_context(arguments.url, key_prefix=arguments.key_prefix)
    try:
        match arguments.command:
            case "produce":
                tee = _STDOUT if arguments.tee else None
                source = Input(_STDIN, errors=arguments.errors, tee=tee)
                return await commands.produce(context, arguments.id, source)
            case "follow":
                async with Output(_STDOUT, mark=arguments.offset) as output:
                    return await commands.follow(
                        context, arguments.id, arguments.offset, output, arguments.wait
                    )
            case "status":
                return await commands.status(context, arguments.id)
            case _:
                return await commands.cancel(context, arguments.id)
    except asyncio.CancelledError:
        await context.aclose(drain_timeout=0)
        raise
    finally:
        # Readers elsewhere may still be catching up from this process.
        await context.aclose()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="Streams of text that outlive the connection.",
        epilog=EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, summary: str) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = commands.add_parser(
            name,
            help=summary,
            description=text,
            epilog=EXIT_STATUSES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument("-v", "--verbose", action="store_true", help="log to standard error")
        return command

    def add_for_stream(name: str, text: str, summary: str) -> argparse.ArgumentParser:
        command = add(name, text, summary)
        command.add_argument("id", metavar="ID", help="the stream's id")
        command.add_argument(
            "--url", help="the backend (default: REDIS_URL, then KV_URL, from the environment)"
        )
        command.add_argument(
            "--key-prefix",
            default="resumable-stream",
            metavar="PREFIX",
            help="what the application's keys start with (default: %(default)s)",
        )
        return command

    demo = add("demo", _DEMO, "watch a stream being cut and resumed")
    demo.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="a UTF-8 text (default: a source file of this package)",
    )
    demo.add_argument("--url", default="memory://demo", help="the backend (default: %(default)s)")
    demo.add_argument("--web", action="store_true", help="serve a page to do so in a browser")
    demo.add_argument("--host", help="with --web, the address to listen on (default: 127.0.0.1)")
    demo.add_argument(
        "--port", type=_port, help="with --web, the port (default: 8000, or any if it is taken)"
    )

    produce = add_for_stream("produce", _PRODUCE, "start a stream with the text of standard input")
    produce.add_argument("--tee", action="store_true", help="copy the input to standard output")
    produce.add_argument(
        "--errors",
        choices=("strict", "replace"),
        default="strict",
        help="what becomes of input that is not UTF-8 (default: %(default)s)",
    )
    follow = add_for_stream("follow", _FOLLOW, "write a stream's text as it comes")
    follow.add_argument(
        "--offset", type=int, default=0, metavar="N", help="where to start (default: %(default)s)"
    )
    follow.add_argument(
        "--wait",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="how long to wait for a stream that has not begun (default: %(default)g)",
    )
    add_for_stream("status", _STATUS, "write a stream's state")
    add_for_stream("cancel", _CANCEL, "stop a stream")
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no port: give a number up to {_HIGHEST_PORT}"
        )
    return int(text)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_arguments: object) -> None:
        # Imported here: it costs more than the rest of this module together.
        from importlib.metadata import version  # noqa: PLC0415

        sys.stdout.write(f"{PROGRAM} {version(PROGRAM)}\n")
        parser.exit()
