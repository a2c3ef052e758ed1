"""An event loop that ends under open contexts and backends reports nothing but these contexts.

The programs of ``left_open.py`` run in development mode, with warnings as errors.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from processes.left_open import SITUATIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.brokers import Broker

PROGRAM = Path(__file__).with_name("left_open.py")
COMMAND = (sys.executable, "-X", "dev", "-W", "error", str(PROGRAM))
PATIENCE = 50.0

STATUS = {"failing": 3, "interrupted": 130}

LEFT_OPEN = (
    "WARNING resumable_stream: the event loop is ending under a context that was left open, and "
    "its streams are lost: call 'await context.aclose()' before, or use 'async with context'"
)

# The number of contexts that have streams or readers when the loop ends: each logs one line.
CONTEXTS = {
    "producing": 1,
    "reading_elsewhere": 2,
    "many": 2,
    "failing": 2,
    "interrupted": 2,
    "broker_broken": 2,
}

ALONE = [*sorted(SITUATIONS.keys() - {"broker_broken"}), "backend_new"]


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
    assert ended.stderr.splitlines() == [LEFT_OPEN] * CONTEXTS.get(situation, 0)
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
    assert told.splitlines() == [LEFT_OPEN] * CONTEXTS["broker_broken"]
    assert program.returncode == 0
