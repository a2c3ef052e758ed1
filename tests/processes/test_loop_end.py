"""What an event loop finds that ends under open contexts and backends: nothing to complain about.

The programs of ``left_open.py`` run in development mode, with warnings as errors.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from processes.left_open import SITUATIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from processes.brokers import Broker

PROGRAM = Path(__file__).with_name("left_open.py")
COMMAND = (sys.executable, "-X", "dev", "-W", "error", str(PROGRAM))
PATIENCE = 50.0

STATUS = {"failing": 3, "interrupted": 130}

# What a program may say: that a stream's end could not be recorded any more.
ALLOWED = (
    re.compile(
        r"ERROR resumable_stream: stream '\w+': its end could not be recorded: "
        r"(the event loop is being shut down: .*|.* is unavailable: .*)"
    ),
)

ALONE = [*sorted(SITUATIONS.keys() - {"broker_broken"}), "backend_new"]


def complaints(told: str) -> list[str]:
    return [line for line in told.splitlines() if not any(one.fullmatch(line) for one in ALLOWED)]


@pytest.mark.parametrize("situation", ALONE)
def test_end_of_the_loop_in_memory(situation: str) -> None:
    check(situation, f"memory://{uuid4()}")


@pytest.mark.parametrize("situation", ALONE)
def test_end_of_the_loop(broker: Broker, situation: str) -> None:
    check(situation, broker.url)


def check(situation: str, url: str) -> None:
    ended = subprocess.run(
        [*COMMAND, situation, url], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert complaints(ended.stderr) == []
    assert ended.returncode == STATUS.get(situation, 0)


def freeze(broker: Broker) -> None:
    broker.freeze()


def kill(broker: Broker) -> None:
    broker.kill()


@pytest.mark.parametrize("broken", [freeze, kill])
def test_end_of_the_loop_while_the_broker_is_away(
    broker: Broker, broken: Callable[[Broker], None]
) -> None:
    with subprocess.Popen(
        [*COMMAND, "broker_broken", broker.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == "ready\n"
            broken(broker)
            _, told = program.communicate("go on\n", timeout=PATIENCE)
        finally:
            program.kill()
    assert complaints(told) == []
    assert program.returncode == 0
