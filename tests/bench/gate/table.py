"""The table of docs/gates.md: what margins need, by the code of `lowbit power`.

PYTHONPATH=operator .venv/bin/python -m tests.bench.gate.table
"""

from __future__ import annotations

import re

from lowbit.gate.judge import divide
from lowbit.gate.power import POWER, each, paired_least, paired_needed
from tests.bench.record import ROOT

PAGE = ROOT / "docs" / "gates.md"
MARKS = re.compile(r"(<!-- power table -->\n)(.*?)(<!-- end of power table -->)", re.DOTALL)
ROWS = ((0.01, 0.02), (0.02, 0.04), (0.02, 0.06), (0.03, 0.06), (0.05, 0.05), (0.05, 0.10), (0.10, 0.15))
"""Margin, and share of the answers that differ."""
CANDIDATES = (1, 2, 3)


def table() -> str:
    """The questions that a margin needs."""
    head = ["margin", "answers that differ", "at least", *(f"{one} candidates" for one in CANDIDATES), "five classes"]
    head[3] = "1 candidate"
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for margin, discordance in ROWS:
        needed = [paired_needed(margin, discordance, divide(0.95, one), POWER) for one in CANDIDATES]
        classes = paired_needed(margin, discordance, 0.95, each(POWER, 5))
        cells = [
            f"{100 * margin:.0f} point{'s' if margin > 0.01 else ''}", f"{100 * discordance:.0f} %",
            paired_least(margin, 0.95), *needed, f"{classes} of each",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def current(page: str) -> str:
    """The page with the table as it is now."""
    return MARKS.sub(lambda found: found[1] + table() + found[3], page)


if __name__ == "__main__":
    PAGE.write_text(current(PAGE.read_text()))
    print(PAGE.relative_to(ROOT))
