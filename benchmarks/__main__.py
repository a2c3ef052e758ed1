"""``python -m benchmarks``: measure, render, or compare with a commit."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path

from benchmarks.brokers import Brokers
from benchmarks.contenders import ALL
from benchmarks.environments import HERE
from benchmarks.runner import Runner
from benchmarks.stage import SMOKE, Scale
from benchmarks.workloads import workloads


def main() -> None:
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    scale = SMOKE if arguments.smoke else Scale()
    asyncio.run(_measure(arguments, scale))


async def _measure(arguments: argparse.Namespace, scale: Scale) -> None:
    chosen = [w for w in workloads(scale) if _is_chosen(w.name, w.group, arguments.only)]
    contenders = [c for c in ALL if _is_chosen(c.name, c.kind, arguments.contenders)]
    with Brokers() as brokers:
        runner = Runner(brokers, scale)
        for contender in contenders:
            runner.enlist(contender)
        try:
            await runner.run(chosen, contenders, arguments.rounds)
        finally:
            runner.results.save(arguments.results)


def _is_chosen(name: str, group: str, wanted: str | None) -> bool:
    return wanted is None or bool({name, str(group)} & set(wanted.split(",")))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", help="workloads or groups of them: W1,W2/10")
    parser.add_argument("--contenders", help="names or kinds: ours,floor,assistant-stream")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it work?")
    parser.add_argument("--results", type=Path, default=HERE / ".results" / "last.json")
    return parser


if __name__ == "__main__":
    main()
