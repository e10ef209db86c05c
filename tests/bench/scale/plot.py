"""Cost against the number of objects: docs/scale.svg, from all results/scale-settled-*.json.

    .venv/bin/python -m tests.bench.scale.plot

Each curve is its figure beside that of the smallest population, over the number of QuantizedModels beside the smallest; what grows in
proportion lies on the dotted line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from tests.bench.record import RESULTS, ROOT

CURVES = {
    "cold start, to synced": "#1f77b4",
    "cold start, processor time to rest": "#d62728",
    "wave": "#2ca02c",
    "resident memory": "#9467bd",
}
WIDTH, HEIGHT, MARGIN = 640, 400, 60
PAGE = ROOT / "docs" / "scale.svg"


def means() -> dict[str, dict[int, float]]:
    """By figure: the mean by the number of QuantizedModels."""
    found: dict[str, dict[int, float]] = {name: {} for name in CURVES}
    for path in RESULTS.glob("scale-settled-*.json"):
        count = int(path.stem.rpartition("-")[2])
        for each in json.loads(path.read_text())["figures"]:
            name = each["name"].partition(": ")[2]
            if name in found:
                found[name][count] = each["mean"]
    return {name: dict(sorted(values.items())) for name, values in found.items() if len(values) > 1}


def drawing(curves: Mapping[str, Mapping[int, float]]) -> str:
    """The SVG: both axes are linear."""
    most = max(max(values) for values in curves.values())
    least = min(min(values) for values in curves.values())
    span = most / least

    def place(times: float, cost: float) -> str:
        x = MARGIN + (WIDTH - 2 * MARGIN) * times / span
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * min(cost / span, 1.05)
        return f"{x:.1f},{y:.1f}"

    lines = [f'<polyline points="{place(0, 0)} {place(span, span)}" stroke="#999" stroke-dasharray="3 4" fill="none"/>']
    for row, (name, values) in enumerate(curves.items()):
        smallest = min(values)
        points = " ".join(place(count / smallest, value / values[smallest]) for count, value in values.items())
        colour = CURVES[name]
        lines.append(f'<polyline points="{points}" stroke="{colour}" stroke-width="2" fill="none"/>')
        lines.append(f'<text x="{MARGIN + 12}" y="{MARGIN + 18 * row}" fill="{colour}">{name}</text>')
    axis = f"M{MARGIN},{MARGIN} V{HEIGHT - MARGIN} H{WIDTH - MARGIN}"
    words = f"{least:,} to {most:,} QuantizedModels; up: cost, in multiples of that of {least:,}; dotted: in proportion"
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
            '<rect width="100%" height="100%" fill="white"/>',
            f'<path d="{axis}" stroke="black" fill="none"/>',
            *lines,
            f'<text x="{MARGIN}" y="{HEIGHT - 24}">{words}</text>',
            "</svg>\n",
        )
    )


if __name__ == "__main__":
    PAGE.write_text(drawing(means()))
    print(PAGE.relative_to(ROOT))
