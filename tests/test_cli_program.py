"""The command line as a program: usage, exit statuses, signals."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from resumable_stream import (
    BackendUnavailableError,
    StreamCancelledError,
    StreamFailedError,
    errors,
)
from resumable_stream._cli.console import ExitStatus, one_line, status_of
from support.programs import PATIENCE, Terminal, run, start


def test_every_error_has_its_status() -> None:
    assert status_of(StreamFailedError("id")) is ExitStatus.FAILED
    assert status_of(StreamCancelledError("id")) is ExitStatus.CANCELLED
    assert status_of(errors.StreamSupersededError("id", 3)) is ExitStatus.PRODUCER_LOST
    assert status_of(errors.OffsetOutOfRangeError("id", 3, 7)) is ExitStatus.NOT_FOUND
    assert status_of(errors.InvalidOffsetError("-1")) is ExitStatus.USAGE
    assert status_of(BackendUnavailableError("away")) is ExitStatus.UNAVAILABLE


def test_errors_cannot_drive_the_terminal() -> None:
    assert one_line("a\nb\x1b[2Jc\u2028d") == "a b [2Jc d"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("fly",),
        ("follow",),
        ("follow", "id", "--offset", "many", "--url", "memory://"),
        ("follow", "id", "--offset", "-1", "--url", "memory://"),
        ("follow", "", "--url", "memory://"),
        ("status", "id"),
        ("cancel", "id", "--url", "nowhere://"),
        ("status", "id", "--url", "memory://", "--key-prefix", ""),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == ExitStatus.USAGE
    assert done.stdout == b""
    assert done.stderr.startswith(b"resumable-stream: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("command", ["demo", "produce", "follow", "status", "cancel"])
def test_help_lists_exit_statuses(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert b"130  interrupted" in done.stdout


def test_version_is_shown() -> None:
    assert run("--version").stdout.startswith(b"resumable-stream 0.")


def test_script_is_installed() -> None:
    assert Path(sys.executable).with_name("resumable-stream").exists()


def test_environment_names_the_backend() -> None:
    done = run("status", "id", REDIS_URL="memory://")
    assert (done.returncode, done.stdout) == (ExitStatus.NOT_FOUND, b"not_found\n")


def test_produce_copies_when_asked() -> None:
    arguments = ("produce", "id", "--url", "memory://")
    done = run(*arguments, stdin=b"some text\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    done = run(*arguments, "--tee", stdin=b"some text\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"some text\n", b"")


def test_produce_of_bad_text_fails() -> None:
    done = run("produce", "id", "--url", "memory://", stdin=b"caf\xe9\n")
    assert done.returncode == ExitStatus.FAILED
    assert b"not UTF-8 at byte 3" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_produce_quietly(number: signal.Signals) -> None:
    with start("produce", "id", "--url", "memory://", "--tee") as program:
        assert program.stdin
        assert program.stdout
        program.stdin.write(b"some text\n")
        program.stdin.flush()
        program.stdout.readline()
        program.send_signal(number)
        assert program.wait(PATIENCE) == 128 + number
        _, errors_shown = program.communicate(timeout=PATIENCE)
        assert errors_shown == b""


def test_interrupt_at_the_keyboard_ends_produce() -> None:
    with Terminal("produce", "id", "--url", "memory://", "--verbose") as terminal:
        terminal.read_until("started")
        terminal.interrupt()
        assert terminal.wait() == ExitStatus.INTERRUPTED
        assert "Traceback" not in terminal.shown
