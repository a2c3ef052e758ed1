"""How a measured process is asked: JSON commands on standard input, answers on standard output.

The process ends when its input ends, so that it never outlives the run.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Asked(Protocol):
    """Its commands are its methods named ``do_`` and something."""

    async def aclose(self) -> None: ...


def run(make: Callable[[], Asked]) -> None:
    # Another event loop is named by its package, which has its own run().
    importlib.import_module(os.environ.get("BENCHMARK_LOOP", "asyncio")).run(_answer(make))


async def _answer(make: Callable[[], Asked]) -> None:
    program = make()
    lines = asyncio.StreamReader(limit=2**28)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    while line := await lines.readline():
        command = json.loads(line)
        act = getattr(program, f"do_{command.pop('do')}")
        try:
            said: dict[str, Any] = {"answer": await act(**command)}
        except NotImplementedError as error:
            said = {"lacks": str(error)}
        except Exception as error:  # noqa: BLE001 - the contender failed: report why
            said = {"failed": f"{type(error).__name__}: {error}"}
        sys.stdout.write(f"{json.dumps(said)}\n")
        sys.stdout.flush()
    await program.aclose()
    transport.close()
