"""Measure all contenders, write the documents from the results, or compare with a commit."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path

from benchmarks.brokers import Brokers
from benchmarks.contenders import ALL
from benchmarks.environments import HERE
from benchmarks.groups import GROUPS
from benchmarks.quick import compare
from benchmarks.render import about, render
from benchmarks.results import Results
from benchmarks.runner import Runner
from benchmarks.stage import Scale
from benchmarks.tables import group_table, score, targets_table
from benchmarks.workloads import workloads


def main() -> None:
    arguments = _parser().parse_args()
    # Any stop unwinds this program, so that it ends its servers and measured processes.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    match arguments.command:
        case "run":
            results = asyncio.run(_measure(arguments))
            for group in GROUPS:
                if shown := group_table(results, group):
                    print(f"\n{group.title}\n{shown}")
            print(f"\n{score(results)}\n{targets_table(results)}")
        case "render":
            render(Results.load(arguments.results))
        case _:
            print(asyncio.run(_compare(arguments)))


async def _measure(arguments: argparse.Namespace) -> Results:
    if arguments.profiles:
        arguments.profiles.mkdir(parents=True, exist_ok=True)
    scale = Scale()
    chosen = [w for w in workloads(scale) if _is_chosen(w.name, w.group, arguments.only)]
    contenders = [c for c in ALL if _is_chosen(c.name, c.kind, arguments.contenders)]
    with Brokers() as brokers:
        runner = Runner(brokers, scale, arguments.profiles)
        for contender in contenders:
            runner.enlist(contender)
        results = Results()
        for number in range(arguments.rounds):
            await runner.run(number, chosen, contenders)
            results = Results.from_records(about(number + 1), runner.records)
            results.save(arguments.results)
    return results


async def _compare(arguments: argparse.Namespace) -> str:
    with Brokers() as brokers:
        return await compare(brokers, arguments.base, arguments.rounds)


def _is_chosen(name: str, group: str, wanted: str | None) -> bool:
    return wanted is None or bool({name, str(group)} & set(wanted.split(",")))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure, and print the tables")
    run.add_argument("--only", help="workloads or groups of them: W1,W2/10")
    run.add_argument("--contenders", help="names or kinds: ours,floor,assistant-stream")
    run.add_argument("--rounds", type=int, default=5)
    run.add_argument("--profiles", type=Path, help="a folder for cProfile's of all processes")
    quick = commands.add_parser("quick", help="compare the working tree with a commit")
    quick.add_argument("base", help="the commit")
    quick.add_argument("--rounds", type=int, default=3)
    render_ = commands.add_parser("render", help="write the documents from the last run")
    for command in (run, render_):
        command.add_argument("--results", type=Path, default=HERE / ".results" / "last.json")
    return parser


if __name__ == "__main__":
    main()
