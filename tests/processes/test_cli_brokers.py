"""The command line between processes, on a real server."""

from __future__ import annotations

import os
import re
import select
import signal
from typing import IO, TYPE_CHECKING

import pytest

from resumable_stream._cli.console import ExitStatus
from support.brokers import MOSTLY_ON_REDIS
from support.programs import PATIENCE, run, start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from support.brokers import Broker

    Start = Callable[..., subprocess.Popen[bytes]]

pytestmark = MOSTLY_ON_REDIS

# The text fits into a pipe, so no program here waits until its output is read.
TEXT = "".join(f"{number} grüße \N{ROCKET}\n" for number in range(1500))
HEAD, MORE, REST = (text.encode() for text in (TEXT[:5000], TEXT[5000:6000], TEXT[6000:]))
STREAM = "build 42"


@pytest.fixture
def program(broker: Broker) -> Iterator[Start]:
    """Starts commands on the stream; those that still run after the test are killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(command: str, *arguments: str) -> subprocess.Popen[bytes]:
        started.append(start(command, STREAM, "--url", broker.url, *arguments))
        return started[-1]

    yield start_one
    for one in started:
        if one.poll() is None:
            one.kill()
        one.communicate(timeout=PATIENCE)


def pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def read(program: subprocess.Popen[bytes], expected: bytes) -> None:
    """Read the expected bytes, and not one more."""
    descriptor, found = pipe(program.stdout).fileno(), b""
    while len(found) < len(expected):
        ready, _, _ = select.select([descriptor], [], [], PATIENCE)
        piece = os.read(descriptor, len(expected) - len(found)) if ready else b""
        assert piece, f"it wrote {found!r:.200} and no more"
        found += piece
    assert found == expected


def produce_head(program: Start) -> subprocess.Popen[bytes]:
    """Start a stream, and wait until its first part is there."""
    producing = program("produce", "--tee")
    type_in(producing, HEAD)
    read(producing, HEAD)
    return producing


def follow_head(program: Start) -> subprocess.Popen[bytes]:
    following = program("follow")
    read(following, HEAD)
    return following


def type_in(program: subprocess.Popen[bytes], text: bytes) -> None:
    pipe(program.stdin).write(text)
    pipe(program.stdin).flush()


def finish(program: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    """Wait for the program's end; return its exit status, and the rest of what it wrote."""
    out, err = program.communicate(timeout=PATIENCE)
    return program.returncode, out, err


def ask(broker: Broker, command: str) -> tuple[int, bytes]:
    done = run(command, STREAM, "--url", broker.url)
    return done.returncode, done.stdout


def test_followers_get_the_produced_bytes(broker: Broker, program: Start) -> None:
    producing = produce_head(program)
    following = follow_head(program)
    middle = program("follow", "--offset", str(len(TEXT[:3000].encode("utf-16-le")) // 2))
    read(middle, HEAD[len(TEXT[:3000].encode()) :])
    assert ask(broker, "status") == (0, b"active\n")
    type_in(producing, MORE + REST)
    for one in (producing, following, middle):
        assert finish(one) == (ExitStatus.COMPLETED, MORE + REST, b"")


def test_completed_stream_is_remembered(broker: Broker, program: Start) -> None:
    assert finish(program("produce"))[0] == ExitStatus.COMPLETED
    assert ask(broker, "status") == (ExitStatus.COMPLETED, b"completed\n")
    assert ask(broker, "cancel") == (ExitStatus.COMPLETED, b"already_over\n")
    assert ask(broker, "follow") == (ExitStatus.NOT_FOUND, b"")
    assert ask(broker, "produce") == (ExitStatus.USAGE, b"")


def test_demo_runs_on_any_broker(broker: Broker) -> None:
    done = run("demo", "LICENSE", "--url", broker.url)
    assert done.returncode == ExitStatus.COMPLETED
    assert done.stdout.count(b"ok: reader") == 2


def test_unknown_stream_is_not_found(broker: Broker) -> None:
    assert ask(broker, "status") == (ExitStatus.NOT_FOUND, b"not_found\n")
    assert ask(broker, "cancel") == (ExitStatus.NOT_FOUND, b"")
    assert ask(broker, "follow") == (ExitStatus.NOT_FOUND, b"")


def test_cancel_ends_every_program(broker: Broker, program: Start) -> None:
    producing = produce_head(program)
    following = follow_head(program)
    assert ask(broker, "cancel") == (ExitStatus.COMPLETED, b"cancelled\n")
    for one in (producing, following):
        status, out, err = finish(one)
        assert (status, out) == (ExitStatus.CANCELLED, b"")
        assert err.count(b"\n") == 1
    assert ask(broker, "status") == (ExitStatus.CANCELLED, b"cancelled\n")


def test_interrupted_produce_cancels_its_followers(broker: Broker, program: Start) -> None:
    producing = produce_head(program)
    following = follow_head(program)
    producing.send_signal(signal.SIGINT)
    assert finish(producing) == (ExitStatus.INTERRUPTED, b"", b"")
    assert finish(following)[:2] == (ExitStatus.CANCELLED, b"")
    assert ask(broker, "status") == (ExitStatus.CANCELLED, b"cancelled\n")


def test_bad_input_fails_the_followers(broker: Broker, program: Start) -> None:
    producing = produce_head(program)
    following = follow_head(program)
    type_in(producing, b"caf\xe9\n")
    assert finish(producing)[0] == ExitStatus.FAILED
    status, _, err = finish(following)
    assert status == ExitStatus.FAILED
    assert b"not UTF-8" in err
    status, out = ask(broker, "status")
    assert status == ExitStatus.FAILED
    assert out.startswith(b"failed: ValueError: the input is not UTF-8 at byte")


def test_interrupted_follow_can_be_continued(broker: Broker, program: Start) -> None:
    producing = produce_head(program)
    following = follow_head(program)
    following.send_signal(signal.SIGINT)
    status, out, err = finish(following)
    assert (status, out) == (ExitStatus.INTERRUPTED, b"")
    offset = re.fullmatch(rb"resumable-stream: to continue: --offset (\d+)\n", err)
    assert offset
    again = program("follow", "--offset", offset[1].decode())
    type_in(producing, MORE)
    read(again, MORE)
    type_in(producing, REST)
    assert finish(producing)[0] == ExitStatus.COMPLETED
    assert finish(again) == (ExitStatus.COMPLETED, REST, b"")


def test_closed_pipe_leaves_the_stream_running(broker: Broker, program: Start) -> None:
    producing = produce_head(program)
    following = follow_head(program)
    pipe(following.stdout).close()
    type_in(producing, MORE)
    assert following.wait(PATIENCE) == ExitStatus.BROKEN_PIPE
    assert pipe(following.stderr).read() == b""
    assert ask(broker, "status") == (0, b"active\n")
    type_in(producing, REST)
    assert finish(producing)[0] == ExitStatus.COMPLETED


def test_server_may_restart_under_the_programs(broker: Broker, program: Start) -> None:
    producing = produce_head(program)
    following = follow_head(program)
    broker.kill()
    type_in(producing, MORE)
    read(producing, MORE)
    broker.start()
    read(following, MORE)
    type_in(producing, REST)
    assert finish(producing) == (ExitStatus.COMPLETED, REST, b"")
    assert finish(following) == (ExitStatus.COMPLETED, REST, b"")


def test_absent_server_is_unavailable(broker: Broker, program: Start) -> None:
    broker.kill()
    commands = [program(command) for command in ("status", "cancel", "follow", "produce")]
    for command in commands:
        status, out, err = finish(command)
        assert (status, out) == (ExitStatus.UNAVAILABLE, b"")
        assert err.count(b"Traceback") == 0
    broker.start()


@pytest.mark.long
def test_killed_produce_is_lost(broker: Broker, program: Start) -> None:
    producing = produce_head(program)
    following = follow_head(program)
    producing.kill()
    status, out, err = finish(following)
    assert (status, out) == (ExitStatus.PRODUCER_LOST, b"")
    assert err.count(b"\n") == 1
    assert ask(broker, "status") == (ExitStatus.NOT_FOUND, b"not_found\n")
