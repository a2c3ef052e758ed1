"""A short simulation in every test run; ``make simulate SEEDS=0-200000`` is a long one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from resumable_stream._options import Durability
from simulation.faults import MUTANTS
from simulation.journal import Mishap
from simulation.mutants import ROOT, TABLE
from simulation.oracle import Oracle
from simulation.plan import TypeScript, draw
from simulation.troubles import Climate, Kind
from simulation.world import Report, simulate

if TYPE_CHECKING:
    from simulation.mutant import Mutant

# Seeds of every run and of a long one, and how many of them one test takes.
_SEEDS = 1_050
_LONG_SEEDS = 9_000
_EACH = 75
_RANGES = (
    *range(0, _SEEDS, _EACH),
    *(pytest.param(n, marks=pytest.mark.long) for n in range(_SEEDS, _LONG_SEEDS, _EACH)),
)

# Faults of the core that seeds have found, but too rarely for the table of mutants.
_RARE = {
    "a TypeScript producer's time ran while its reader subscribed": 24_024,
    "an abandoned claim stayed where TypeScript peers had counted in it": 16_952,
    "a refusal that was lost at the end was not repeated": 23_173,
    "a heartbeat's timer went off a moment too early, again and again": 28_925,
    "text that reads as a TypeScript end hid what was lost after it": 67_336,
    "the end of a stream that had lost its claim was written over its successor's": 110_961,
    "a place beyond a log was forgotten where the live text began": 84_979,
    "what a lost producer had left was numbered from the last live place": 55_483,
    "a place in a successor's text was refused beside a producer that was taken for dead": 5_527,
    "a later run's keys were erased, and its text was not": 64_219,
    "a producer went on serving what was erased elsewhere": 12_231,
    "readers were told that the journal had failed when their stream was taken over": 33_251,
    "a reader that was sent to the journal stayed attached once it was dropped": 61_715,
}


def explain(report: Report) -> str:
    problems = "\n".join(report.problems)
    return f"{problems}\n\n{report.timeline.text()[-6_000:]}\n\nmake simulate SEEDS={report.seed}"


@pytest.mark.parametrize("first", _RANGES)
@pytest.mark.rule("P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P10", "P11", "P12")
def test_every_promise_holds_under_every_fault(first: int) -> None:
    for seed in range(first, first + _EACH):
        report = simulate(seed)
        assert not report.problems, explain(report)


def test_the_seeds_cover_what_there_is_to_go_wrong() -> None:
    plans = [draw(seed) for seed in range(_SEEDS)]
    assert {plan.climate for plan in plans} == set(Climate)
    assert {plan.typescript for plan in plans} == set(TypeScript)
    assert {trouble.kind for plan in plans for trouble in plan.troubles} == set(Kind)
    journals = [plan.journal for plan in plans if plan.journal is not None]
    assert {one.mishap for journal in journals for one in journal.troubles} == set(Mishap)
    assert {journal.durability for journal in journals} == set(Durability)
    assert {trouble.keys for plan in plans for trouble in plan.troubles} == {"kept", "none", "old"}


def test_a_seed_replays_exactly_in_another_process() -> None:
    """It does so even if strings have other hashes there."""
    seeds = [str(next(seed for seed in range(99) if draw(seed).climate is c)) for c in Climate]
    seeds.append(str(next(seed for seed in range(99) if draw(seed).journal is not None)))
    program = (
        "import sys; from simulation.world import simulate\n"
        "for seed in sys.argv[1:]: print(simulate(int(seed)).timeline.text())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", program, *seeds],
            env=os.environ
            | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT / "tests"), "PYTHONUTF8": "1"},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    here = "".join(f"{simulate(int(seed)).timeline.text()}\n" for seed in seeds)
    assert here.encode().splitlines() == runs[0].splitlines()


def test_an_oracle_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_oracle: Oracle) -> None:
        raise LookupError("the core has other attributes by now")

    monkeypatch.setattr(Oracle, "_check_memory", fail)
    assert any("LookupError" in problem for problem in simulate(0).problems)


def seeds_to_catch(mutant: Mutant) -> int:
    """Return the number of seeds that the table gives for the fault."""
    (row,) = (line for line in TABLE.read_text().splitlines() if f"| {mutant.what} |" in line)
    return int(row.split(" | ")[2].replace(",", ""))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_every_fault_fits_the_core_and_is_caught(mutant: Mutant) -> None:
    """Otherwise the table would describe code that no longer exists."""
    assert Path(ROOT / mutant.path).read_text().count(mutant.right) == 1
    assert seeds_to_catch(mutant) <= 10_000


@pytest.mark.parametrize(
    "mutant", [mutant for mutant in MUTANTS if mutant.found], ids=lambda mutant: mutant.what
)
def test_seeds_that_found_a_fault_of_the_core(mutant: Mutant) -> None:
    report = simulate(seeds_to_catch(mutant) - 1)
    assert not report.problems, explain(report)


@pytest.mark.parametrize("seed", _RARE.values(), ids=_RARE)
def test_seeds_that_found_a_rare_fault(seed: int) -> None:
    report = simulate(seed)
    assert not report.problems, explain(report)
