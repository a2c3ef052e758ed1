"""Simulate seeds: ``make simulate SEEDS=17`` shows one, ``SEEDS=0-200000`` looks for failures."""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import os
import sys
import time

from simulation.world import simulate

_BATCH = 50


def failures(first: int, last: int, most: int) -> list[tuple[int, tuple[str, ...]]]:
    reports = (simulate(seed) for seed in range(first, last))
    failed = ((report.seed, report.problems) for report in reports if report.problems)
    return list(itertools.islice(failed, most))


def show(seed: int) -> bool:
    report = simulate(seed)
    print(f"seed {seed}: {report.plan}\n")
    print(report.timeline.text())
    print()
    for problem in report.problems:
        print("PROBLEM", problem)
    return bool(report.problems)


def search(first: int, last: int, most: int) -> bool:
    """Run the seeds on all processors; print those that fail, at most ``most``."""
    began, failed = time.monotonic(), 0
    starts = range(first, last, _BATCH)
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        ends = [min(start + _BATCH, last) for start in starts]
        work = pool.map(failures, starts, ends, itertools.repeat(most))
        for batch in work:
            for seed, problems in batch:
                failed += 1
                print(f"seed {seed}: {problems[0]}", flush=True)
            if failed >= most:
                pool.shutdown(cancel_futures=True)
                break
    seconds = time.monotonic() - began
    print(f"{last - first} seeds, {seconds:.0f} s: {failed} failed")
    if failed:
        print("see what happened with: make simulate SEEDS=<one seed>")
    return bool(failed)


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("seeds", help="one seed, or first-last (the last excluded)")
    parser.add_argument("--most", type=int, default=10, help="failing seeds to look for")
    arguments = parser.parse_args()
    first, dash, last = arguments.seeds.partition("-")
    if not dash:
        return show(int(first))
    return search(int(first), int(last), arguments.most)


if __name__ == "__main__":
    sys.exit(main())
