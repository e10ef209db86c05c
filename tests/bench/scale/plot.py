"""Cost against the number of objects: docs/scale.svg, from results/scale-*.json.

    .venv/bin/python -m tests.bench.scale.plot

Each curve is a figure beside that of 1,000 QuantizedModels; what grows in proportion lies on the dotted line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tests.bench.record import RESULTS, ROOT


@dataclass(frozen=True)
class Curve:
    """A figure that was taken beside several numbers of QuantizedModels."""

    name: str
    color: str
    results: str
    """Glob of the files that it is in."""
    figure: str
    """Its name there, with the number as a group."""


CURVES = (
    Curve("one decision", "#d62728", "scale-growth.json", r"one decision of ([\d,]+)"),
    Curve("the cache's memory", "#1f77b4", "scale-growth.json", r"the cache of ([\d,]+)"),
    Curve("a cold start", "#2ca02c", "scale-settled-*.json", r"([\d,]+) settled: cold start, to synced"),
    Curve(
        "a cold start, the operator's part", "#98c98a", "scale-settled-*.json",
        r"([\d,]+) settled: cold start, processor time to rest",
    ),
)  # fmt: skip
BESIDE = 1000
WIDTH, HEIGHT, MARGIN = 640, 440, 70
PAGE = ROOT / "docs" / "scale.svg"


def costs() -> dict[Curve, dict[int, float]]:
    """By curve: the median by the number of QuantizedModels."""
    found: dict[Curve, dict[int, float]] = {}
    for curve in CURVES:
        figures = (each for path in RESULTS.glob(curve.results) for each in json.loads(path.read_text())["figures"])
        matches = ((re.fullmatch(curve.figure, each["name"]), each["median"]) for each in figures)
        found[curve] = {int(match[1].replace(",", "")): median for match, median in matches if match}
    return found


def drawing(curves: Mapping[Curve, Mapping[int, float]]) -> str:
    """The SVG: both axes are linear."""
    most = max(max(values) for values in curves.values())
    span = most / BESIDE
    top = max(span, *(cost / values[BESIDE] for values in curves.values() for cost in values.values()))

    def place(count: float, cost: float) -> str:
        x = MARGIN + (WIDTH - 2 * MARGIN) * count / most
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * cost / top
        return f"{x:.1f},{y:.1f}"

    lines = [f'<polyline points="{place(0, 0)} {place(most, span)}" stroke="#999" stroke-dasharray="3 4" fill="none"/>']
    for row, (curve, values) in enumerate(curves.items()):
        points = " ".join(place(count, value / values[BESIDE]) for count, value in sorted(values.items()))
        lines.append(f'<polyline points="{points}" stroke="{curve.color}" stroke-width="2" fill="none"/>')
        lines.append(f'<text x="{MARGIN + 12}" y="{MARGIN + 18 * row}" fill="{curve.color}">{curve.name}</text>')
    axis = f"M{MARGIN},{MARGIN} V{HEIGHT - MARGIN} H{WIDTH - MARGIN}"
    words = f"0 to {most:,} QuantizedModels; up: cost, in multiples of that of {BESIDE:,}; dotted: in proportion"
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">'
    return "\n".join(
        (
            head,
            '<rect width="100%" height="100%" fill="white"/>',
            f'<path d="{axis}" stroke="black" fill="none"/>',
            *lines,
            f'<text x="{MARGIN}" y="{HEIGHT - 24}">{words}</text>',
            "</svg>\n",
        )
    )


if __name__ == "__main__":
    PAGE.write_text(drawing(costs()))
    print(PAGE.relative_to(ROOT))
