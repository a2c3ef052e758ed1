"""The results as a picture: bars on a logarithmic scale, readable on light and on dark pages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from benchmarks.contenders import ALL, Kind
from benchmarks.tables import number

if TYPE_CHECKING:
    from benchmarks.results import Results

# What is shown: workload, metric, and a title that says whether more is better.
_PANELS = (
    ("W8/10000", "caught_up_ms", "HTTP, behind 10,000 chunks: caught up in ms (less is better)"),
    ("W1", "chunks_per_s", "Nobody resumes: chunks/s (more is better)"),
    ("W2/100", "p99_ms", "Live to 100 listeners: p99 in ms (less is better)"),
    (
        "W2u/100",
        "deliveries_per_s",
        "Unpaced to 100 listeners: chunks delivered/s (more is better)",
    ),
    ("W3/100000", "caught_up_ms", "Behind 100,000 chunks: caught up in ms (less is better)"),
    (
        "W9r/100000",
        "caught_up_ms",
        "Read again after the end, 100,000 chunks: in ms (less is better)",
    ),
    ("W4", "p99_ms", "500 streams at once: p99 in ms (less is better)"),
    ("W5", "memory", "Memory of the process per MB of text, in MB (less is better)"),
)
_WIDTH, _ROW, _HEAD, _LEFT, _RIGHT, _GAP = 860, 20, 30, 190, 90, 16
# Greys that are readable on light and dark, for viewers that do not report a colour scheme.
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #57606a; }
.title { font-weight: 600; fill: #24292f; }
.ours { fill: #0969da; } .peer { fill: #bf8700; } .floor { fill: #8c959f; }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1; } .title { fill: #e6edf3; }
  .ours { fill: #4493f8; } .peer { fill: #d29922; } .floor { fill: #656c76; }
}
"""
_KINDS = {contender.name: contender.kind for contender in ALL}


def plot(results: Results) -> str:
    """Return an SVG."""
    parts, y = [], 0
    for workload, metric, title in _PANELS:
        rows = _rows(results, workload, metric)
        if any(value is not None for _, value in rows):
            parts.append(_panel(title, rows, y))
            y += _HEAD + _ROW * len(rows) + _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" '
        f'height="{y}" role="img" aria-label="Benchmark results">\n<style>{_STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _rows(results: Results, workload: str, metric: str) -> list[tuple[str, float | None]]:
    names = results.cells.get(workload, {})
    return [
        (contender.name, results.value(workload, contender.name, metric))
        for contender in ALL
        if (cell := names.get(contender.name)) and (cell.metrics or cell.failure)
    ]


def _panel(title: str, rows: list[tuple[str, float | None]], top: int) -> str:
    values = [value for _, value in rows if value]
    least = 10 ** math.floor(math.log10(min(values)))
    span = max(math.log10(max(values) / least), 1e-9)
    parts = [f'<text class="title" x="0" y="{top + 18}">{escape(title)}</text>']
    for at, (name, value) in enumerate(rows):
        y = top + _HEAD + at * _ROW
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        if value is None:
            parts.append(f'<text x="{_LEFT}" y="{y + 13}">failed</text>')
            continue
        share = math.log10(max(value, least) / least) / span
        width = max(2.0, share * (_WIDTH - _LEFT - _RIGHT))
        kind = _KINDS.get(name, Kind.FLOOR)
        parts.append(
            f'<rect class="{kind}" x="{_LEFT}" y="{y + 2}" width="{width:.1f}" '
            f'height="{_ROW - 5}" rx="2"/>'
            f'<text x="{_LEFT + width + 6:.1f}" y="{y + 13}">{number(value)}</text>'
        )
    return "\n".join(parts)
