"""The benchmark works at tiny sizes: it measures, detects wrong text, and judges results."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from benchmarks import render as rendering
from benchmarks.agent.adapters import ours
from benchmarks.agent.program import faults_of
from benchmarks.agent.texts import CHUNK, Reading, text_of
from benchmarks.brokers import Brokers
from benchmarks.contenders import (
    ALL,
    HIREDIS,
    NATS_PY,
    OURS_CHUNKS,
    OURS_MEMORY,
    OURS_NATS,
    OURS_REDIS,
    OURS_RUNS,
    OURS_SQLITE,
    OURS_SSE,
    QUEUES,
    SOURCE,
    SSE_STARLETTE,
    STARLETTE,
    Kind,
)
from benchmarks.groups import GROUPS
from benchmarks.metrics import METRICS
from benchmarks.plot import plot
from benchmarks.quick import verdict, worktree
from benchmarks.results import Cell, Record, Results
from benchmarks.runner import Runner
from benchmarks.stage import SMOKE, Scale
from benchmarks.tables import group_table, short_table, targets_table
from benchmarks.targets import TARGETS, judge
from benchmarks.workloads import workloads
from resumable_stream import ResumableStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from benchmarks.contenders import Contender

WORKLOADS = {workload.name: workload for workload in workloads(SMOKE)}


@pytest.fixture(scope="module")
def brokers() -> Iterator[Brokers]:
    with Brokers() as brokers:
        yield brokers


async def measured(
    brokers: Brokers, names: Sequence[str], *contenders: Contender
) -> dict[tuple[str, str], Record]:
    runner = Runner(brokers, SMOKE)
    for contender in contenders:
        runner.enlist(contender)
    await runner.run(0, [WORKLOADS[name] for name in names], contenders)
    return {(record.workload, record.contender): record for record in runner.records}


async def stream_of(*chunks: str) -> AsyncIterator[str]:
    for chunk in chunks:
        yield chunk


def results_of(**metrics: float) -> Results:
    """Return results in which all contenders have measured the same."""
    known = dict.fromkeys(METRICS, 1.0) | metrics
    cells = {
        workload.name: {c.name: Cell(1, known) for c in ALL if workload.takes(c)}
        for workload in workloads(Scale())
    }
    return Results(rendering.about(1), cells)


_USUALLY_RUN = (
    *((name, OURS_REDIS) for name in ("W2/2", "W3/100", "W4", "W6", "W9/exit", "W9r/100")),
    *(("W1", OURS_MEMORY), ("W8/100", OURS_SSE), ("W8l/2", QUEUES), ("W9c/exit", OURS_NATS)),
)
_SELDOM_RUN = (
    *((name, OURS_REDIS) for name in ("W4/2000", "W5", "W5/left", "W7")),
    *((name, OURS_MEMORY) for name in ("W1b", "W2u/2")),
    *(("W4", SOURCE), ("W2u/2", HIREDIS), ("W2u/2", NATS_PY)),
    *((name, OURS_SSE) for name in ("W8l/2", "W8m", "W8i")),
    *((name, QUEUES) for name in ("W8/100", "W8m", "W8i")),
    *(("W8/100", contender) for contender in (OURS_CHUNKS, SSE_STARLETTE, STARLETTE)),
    *((name, OURS_REDIS) for name in ("W9/async", "W9/sync", "W9c", "W9c/async")),
    *((name, OURS_REDIS) for name in ("W9r/slow", "W9m", "W9l", "W9l/sync")),
    *((name, OURS_SQLITE) for name in ("W9/async", "W9r/100", "W9m", "W9l/sync")),
    *((name, OURS_NATS) for name in ("W9/sync", "W9r/100")),
)


@pytest.mark.parametrize(
    ("name", "contender"),
    [*_USUALLY_RUN, *(pytest.param(*one, marks=pytest.mark.long) for one in _SELDOM_RUN)],
    ids=lambda value: getattr(value, "name", value),
)
async def test_workload_runs_and_checks_out(
    brokers: Brokers, name: str, contender: Contender
) -> None:
    records = await measured(brokers, [name], contender)
    record = records[name, contender.name]
    assert record.failure is None
    assert record.metrics.keys() <= METRICS.keys()


@pytest.mark.parametrize("name", ["W8/100", "W8l/2"])
async def test_workload_is_left_out_by_a_library_that_lacks_it(brokers: Brokers, name: str) -> None:
    records = await measured(brokers, [name], OURS_RUNS)
    record = records[name, OURS_RUNS.name]
    assert record.failure is None
    assert bool(record.metrics) == hasattr(ResumableStream, "runs")


async def test_failure_is_told_with_its_reason(brokers: Brokers) -> None:
    broken = replace(OURS_REDIS, adapter="no_such_adapter")
    records = await measured(brokers, ["W1"], broken)
    assert "no_such_adapter" in str(records["W1", broken.name].failure)


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [([0, 1, 2], None), ([0, 2], "at 40"), ([0, 1, 1, 2], "at 80"), ([1, 0, 2], "at 0")],
)
@pytest.mark.parametrize("timed", [False, True])
async def test_reading_sees_every_difference(
    numbers: list[int], fault: str | None, *, timed: bool
) -> None:
    text = text_of("salt", 3)
    reading = Reading("salt", text, timed=timed)
    await reading.run(stream_of(*(text[n * CHUNK : (n + 1) * CHUNK] for n in numbers)))
    assert (reading.fault or "")[: len(fault or "")] == (fault or "")
    assert bool(reading.fault) == bool(fault)


async def test_text_that_stops_short_is_a_fault() -> None:
    reading = Reading("salt", text_of("salt", 3))
    await reading.run(stream_of(text_of("salt", 2)))
    assert faults_of([reading], {"salt": 2}) == []
    assert faults_of([reading], {"salt": 3}) == ["ended after 80 of 120 characters"]


async def test_latency_counts_chunks_that_came_as_one() -> None:
    text = text_of("salt", 4)
    reading = Reading("salt", text, timed=True)
    await reading.run(stream_of(text[:CHUNK], text[CHUNK : 3 * CHUNK], text[3 * CHUNK :]))
    found = reading.latencies([0, reading.ended, reading.ended, reading.ended])
    # The first chunk came before timing began.
    assert len(found) == 3
    assert all(latency <= 0 for latency in found)


def test_two_streams_have_no_chunk_in_common() -> None:
    one, other = text_of("a1b2c3", 50), text_of("d4e5f6", 50)
    chunks = [text[at : at + CHUNK] for text in (one, other) for at in range(0, len(one), CHUNK)]
    assert len(set(chunks)) == 100


def test_failed_round_shows_no_figure() -> None:
    records = [Record("W1", "a", 0, {"chunks_per_s": 5}), Record("W1", "a", 1, {}, "it broke")]
    results = Results.from_records({}, records)
    assert results.value("W1", "a", "chunks_per_s") is None
    assert results.cells["W1"]["a"].failure == "it broke (1 of 2 runs)"


def test_targets_judge_by_ratio() -> None:
    target = next(t for t in TARGETS if (t.workload, t.metric) == ("W2/10", "p99_ms"))
    results = results_of()
    for value, reached in ((1.9, True), (2.1, False)):
        results.cells["W2/10"][OURS_REDIS.name] = Cell(1, {"p99_ms": value})
        judgement = judge(results, target, OURS_REDIS)
        assert judgement is not None
        assert (judgement.ratio, judgement.reached) == (value, reached)


def test_targets_judge_what_is_beyond_a_reference() -> None:
    target = next(t for t in TARGETS if t.beyond)
    results = results_of(cpu_us=15.0)
    for value, reached in ((54.0, True), (56.0, False)):
        results.cells["W4"][OURS_REDIS.name] = Cell(1, {"cpu_us": value})
        judgement = judge(results, target, OURS_REDIS)
        assert judgement is not None
        assert (judgement.ratio, judgement.reached) == (value - 15, reached)
    assert "❌ 41 (56)" in targets_table(results)


def test_every_target_is_measured() -> None:
    names = {workload.name for workload in workloads(Scale())}
    assert {target.workload for target in TARGETS} <= names


def test_tables_show_all_contenders() -> None:
    results = results_of()
    shown = "\n".join(group_table(results, group) for group in GROUPS)
    assert all(contender.name in shown for contender in ALL)
    # Three tables, each with two lines above its rows.
    assert targets_table(results).count("\n") == len(TARGETS) + 7
    assert short_table(results).count("| **1**") > 5
    drawn = plot(results)
    assert all(contender.name in drawn for contender in ALL if contender.kind is not Kind.FLOOR)


def test_tables_without_web_servers_are_as_before() -> None:
    results = results_of()
    results.cells = {name: row for name, row in results.cells.items() if not name.startswith("W8")}
    shown = "\n".join(group_table(results, group) for group in GROUPS)
    shown += targets_table(results) + short_table(results) + plot(results)
    assert "W8" not in shown
    assert not any(word in shown for word in ("HTTP", OURS_SSE.name, OURS_RUNS.name))


def test_tables_without_journals_are_as_before() -> None:
    results = results_of()
    results.cells = {name: row for name, row in results.cells.items() if not name.startswith("W9")}
    shown = "\n".join(group_table(results, group) for group in GROUPS)
    shown += targets_table(results) + short_table(results) + plot(results)
    assert not any(word in shown for word in ("W9", "text is kept", "Read again", OURS_SQLITE.name))


def test_contender_with_a_journal_apart_is_only_where_text_is_kept() -> None:
    names = {workload.name for workload in workloads(Scale()) if workload.takes(OURS_SQLITE)}
    assert names
    assert all(name.startswith("W9") for name in names)


async def test_text_that_is_not_kept_is_a_failure(tmp_path: Path) -> None:
    adapter = await ours.create(
        "memory://unkept", durability="exit", journal=f"sqlite:///{tmp_path}"
    )
    stream = await adapter.start("a", lambda: stream_of("text"))
    assert [chunk async for chunk in stream] == ["text"]
    with pytest.raises(RuntimeError, match="not kept"):
        await adapter.settle("a")
    await adapter.aclose()


def test_contender_that_is_not_measured_shows_it() -> None:
    results = results_of()
    results.cells["W8/10000"][OURS_RUNS.name] = Cell(5, {})
    shown = "\n".join(group_table(results, group) for group in GROUPS)
    assert shown.count("not measured") == shown.count("failed") + 4
    assert plot(results).count(OURS_RUNS.name) == 0


@pytest.mark.parametrize(
    ("now", "said"), [((3.0, 4.0), "worse"), ((0.5, 0.9), "better"), ((0.5, 1.5), "")]
)
def test_verdict_needs_every_round(now: tuple[float, float], said: str) -> None:
    before = (1.0, 2.0)
    records = [
        Record("W3/100", name, at, {"first_ms": value})
        for name, values in (("now", now), ("before", before))
        for at, value in enumerate(values)
    ]
    assert verdict(records, "W3/100", "first_ms", ("now", "before")) == said


def test_rendering_replaces_what_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("before\n<!-- benchmark x: begin -->\nold\n<!-- benchmark x: end -->\nafter\n")
    for content in ("new", "newer \\1"):
        rendering._fill(path, "x", content)
        assert path.read_text() == (
            f"before\n<!-- benchmark x: begin -->\n{content}\n<!-- benchmark x: end -->\nafter\n"
        )


def test_worktree_leaves_nothing_behind(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
        done = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True)
        return done.stdout

    git("init", "--quiet")
    (tmp_path / "file").write_text("committed")
    git("add", "file")
    git("commit", "--quiet", "--message", "one")
    (tmp_path / "file").write_text("changed since")
    with worktree("HEAD", tmp_path) as tree:
        assert (tree / "file").read_text() == "committed"
    assert not tree.exists()
    assert git("worktree", "list").count("\n") == 1
