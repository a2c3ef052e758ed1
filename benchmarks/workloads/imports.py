"""W7: what `import` costs in a fresh interpreter, as the median of a few."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
from typing import TYPE_CHECKING, Any

from benchmarks.processes import RunFailedError
from benchmarks.stage import Workload

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.stage import Metrics, Scale, Stage

_PACKAGES = {
    "ours": "resumable_stream",
    "python_resumable_stream": "resumable_stream",
    "assistant_stream": "assistant_stream.resumable",
    "fastapi_resumable_stream": "fastapi_resumable_stream",
}
_PROGRAM = """
import sys, time, json
before, cpu = time.perf_counter(), time.process_time()
import {package}
took, cpu = time.perf_counter() - before, time.process_time() - cpu
print(json.dumps([took, cpu, sum(name in sys.modules for name in ("redis", "nats"))]))
"""


def workloads(scale: Scale) -> list[Workload]:
    del scale
    return [Workload("W7", _run, _fits)]


def _fits(contender: Contender) -> bool:
    # Once is enough: the package is the same on every backend and event loop.
    once = contender.broker == "redis" and contender.environment != "uvloop"
    return contender.adapter in _PACKAGES and once


async def _run(stage: Stage) -> Metrics:
    await _import(stage)  # compiles the modules, as an installation does
    found = [await _import(stage) for _ in range(stage.scale.imports)]
    return {
        "import_ms": statistics.median(took for took, _, _ in found) * 1e3,
        "import_cpu_ms": statistics.median(cpu for _, cpu, _ in found) * 1e3,
        "drivers": max(drivers for _, _, drivers in found),
    }


async def _import(stage: Stage) -> Any:
    adapter = stage.contender.adapter
    assert adapter is not None  # noqa: S101
    variables = os.environ | stage.launch.variables
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    process = await asyncio.create_subprocess_exec(
        *(stage.launch.command[0], "-c", _PROGRAM.format(package=_PACKAGES[adapter])),
        stdout=asyncio.subprocess.PIPE,
        env=variables,
    )
    try:
        async with asyncio.timeout(stage.scale.patience):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise RunFailedError("the import does not end") from None
    if process.returncode:
        raise RunFailedError("the import failed")
    return json.loads(said)
