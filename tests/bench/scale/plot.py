"""Cost against the number of objects: docs/scale.svg, from results/scale-growth.json.

    .venv/bin/python -m tests.bench.scale.plot

Each curve is a figure beside that of 1,000 QuantizedModels; what grows in proportion lies on the dotted line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from tests.bench.record import RESULTS, ROOT

CURVES = {"one decision": "#d62728", "the store": "#1f77b4"}
BESIDE = 1000
WIDTH, HEIGHT, MARGIN = 640, 400, 60
PAGE = ROOT / "docs" / "scale.svg"


def costs() -> dict[str, dict[int, float]]:
    """By figure: the median by the number of QuantizedModels."""
    found: dict[str, dict[int, float]] = {name: {} for name in CURVES}
    for each in json.loads((RESULTS / "scale-growth.json").read_text())["figures"]:
        name, _, count = each["name"].partition(" of ")
        found[name][int(count.replace(",", ""))] = each["median"]
    return found


def drawing(curves: Mapping[str, Mapping[int, float]]) -> str:
    """The SVG: both axes are linear."""
    most = max(max(values) for values in curves.values())
    span = most / BESIDE

    def place(count: float, cost: float) -> str:
        x = MARGIN + (WIDTH - 2 * MARGIN) * count / most
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * min(cost / span, 1.2)
        return f"{x:.1f},{y:.1f}"

    lines = [f'<polyline points="{place(0, 0)} {place(most, span)}" stroke="#999" stroke-dasharray="3 4" fill="none"/>']
    for row, (name, values) in enumerate(curves.items()):
        points = " ".join(place(count, value / values[BESIDE]) for count, value in sorted(values.items()))
        lines.append(f'<polyline points="{points}" stroke="{CURVES[name]}" stroke-width="2" fill="none"/>')
        lines.append(f'<text x="{MARGIN + 12}" y="{MARGIN + 18 * row}" fill="{CURVES[name]}">{name}</text>')
    axis = f"M{MARGIN},{MARGIN} V{HEIGHT - MARGIN} H{WIDTH - MARGIN}"
    words = f"0 to {most:,} QuantizedModels; up: cost, in multiples of that of {BESIDE:,}; dotted: in proportion"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">'
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
