"""How often the gate passes a candidate that lies exactly on its threshold: nominal 5 % and 1 %.

    PYTHONPATH=operator .venv/bin/python -m tests.bench.gate [--gates 100000] [--seed 1] [--only KLDivergence]

Prints every cell, and writes results/gate.json. With 100,000 gates a cell about four hours of a core.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterator
from itertools import product

from tests.bench.gate.cells import CANDIDATES, CONFIDENCES, Cell, power, simulated, summed_pairs, summed_shares
from tests.bench.gate.distributions import class_cases, mean_cases
from tests.bench.record import Figure, figure, surroundings, write

PAIRED_COUNTS = (200, 300, 500, 1000, 2000)
SUMS = "sums"
"""Only what needs no drawing."""
POWERS = ((0.01, 0.02, 1000), (0.02, 0.04, 300), (0.02, 0.06, 500), (0.03, 0.06, 300), (0.03, 0.10, 500))
"""Margin, discordance, questions."""


def sums() -> Iterator[Cell]:
    """Outcomes of yes and no: exact."""
    for confidence, k in product(CONFIDENCES, CANDIDATES):
        for margin in (0.01, 0.02, 0.03, 0.05):
            yield from summed_pairs(margin, PAIRED_COUNTS, confidence, k)
        for value, count in product((0.8, 0.9, 0.95), (150, 300, 1000)):
            yield summed_shares(value, count, confidence, k)


def draws(gates: int, seed: int, only: str = "") -> Iterator[Cell]:
    """Everything else: simulated. only: how the metrics' names begin."""
    for number, case in enumerate([*mean_cases(), *class_cases()]):
        if case.metric.name.startswith(only):
            yield from simulated(case, gates, seed * 1000 + number)


def figures(found: list[Cell]) -> list[Figure]:
    """One for each metric, confidence and number of candidates: rates of all its cells, in percent."""
    by: dict[str, list[float]] = defaultdict(list)
    for cell in found:
        method = cell.metric
        if cell.metric == "AccuracyLoss":
            method += ", repeated" if cell.gates else ", pairs"
        by[f"{method}, {cell.confidence:g} / {cell.candidates}"].append(100 * cell.rate)
    return [figure(name, "%", rates) for name, rates in sorted(by.items())]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=100_000, help="drawn for each cell")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help=f"begin of metrics' names, or {SUMS}: print, and write nothing")
    return parser.parse_args()


def main() -> None:
    """Simulate, print and write."""
    asked, found = parse(), []
    with surroundings() as seen:
        for cell in chosen(asked):
            found.append(cell)
            print(
                f"{cell.metric:15s} {cell.name:60s} n {cell.count:5d} {cell.confidence:g}/{cell.candidates} "
                f"{100 * cell.rate:6.3f} % of nominal {100 * cell.nominal:.3f}", flush=True
            )  # fmt: skip
    powers = [powered(*each) for each in POWERS] if asked.only in ("", SUMS) else []
    for each in powers:
        print(f"{each.name} {each.mean:.1f} %")
    if asked.only:
        return
    setting = {"gates a cell": asked.gates, "seed": asked.seed, "error of a rate of 5 %": error(asked.gates)}
    write("gate", [*figures(found), *powers], seen, about="false passes at the threshold", setting=setting)


def powered(margin: float, discordance: float, count: int) -> Figure:
    """How often a candidate that is as good as the original passes."""
    name = f"power of equal models, pairs: margin {margin}, discordance {discordance}, n {count}"
    return figure(name, "%", [100 * power(count, margin, 0.95, discordance)])


def chosen(asked: argparse.Namespace) -> Iterator[Cell]:
    """The cells that were asked for."""
    if asked.only in ("", SUMS):
        yield from sums()
    if asked.only != SUMS:
        yield from draws(asked.gates, asked.seed, asked.only)


def error(gates: int) -> str:
    """Of a simulated rate, in points."""
    return f"{100 * math.sqrt(0.05 * 0.95 / gates):.2f} points"


if __name__ == "__main__":
    main()
