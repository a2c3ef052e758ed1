"""Deliberate faults in the core, each of which some seed must catch: ``make mutants``."""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from simulation.faults import MUTANTS

if TYPE_CHECKING:
    from simulation.mutant import Mutant

ROOT = pathlib.Path(__file__).parents[2]
TABLE = pathlib.Path(__file__).with_name("MUTANTS.md")
_LIMIT = 10_000
_PARTS = ("src", "backends", "tests/simulation")


def catch(mutant: Mutant) -> str:
    """Return how many seeds it took to catch the fault, and which promise was broken first."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for part in _PARTS:
            shutil.copytree(ROOT / part, root / part)
        mutant.apply(root)
        paths = [str(root / name) for name in ("src", "backends", "tests")]
        paths.append(str(ROOT / "tests"))
        found = subprocess.run(
            [sys.executable, "-m", "simulation", f"0-{_LIMIT}", "--most", "1"],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=False,
        )
    for line in found.stdout.splitlines():
        if line.startswith("seed "):
            seed, _, problem = line.removeprefix("seed ").partition(": ")
            return f"{int(seed) + 1:,} | {problem.split(':')[0]}"
    return "not caught |" if found.returncode == 0 else f"broken | {found.stderr[-300:]!r}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulation.mutants", description=__doc__)
    parser.add_argument("only", nargs="*", help="words of the mutants to try; all if none")
    words = parser.parse_args().only
    chosen = [one for one in MUTANTS if not words or any(word in one.what for word in words)]
    rows = []
    for mutant in chosen:
        rows.append(f"| {mutant.what} | `{mutant.path}` | {catch(mutant)} |")
        print(rows[-1], flush=True)
    if not words:
        notes = "".join(TABLE.read_text().partition("\n## ")[1:])
        TABLE.write_text(_HEAD + "\n".join(rows) + "\n" + notes)
    return any("not caught" in row or "broken" in row for row in rows)


_HEAD = """# Deliberate faults, and how many seeds it takes to catch each

Written by `make mutants`. Seeds are tried from 0 on; the promise is the first one seen broken.

| fault | where | seeds | promise |
| --- | --- | --- | --- |
"""


if __name__ == "__main__":
    sys.exit(main())
