"""What three looks cost and save, by the gate that ships: false passes at the margin, power, and samples.

    PYTHONPATH=operator .venv/bin/python -m tests.bench.gate.looks [--gates 100000] [--seed 1]

Prints every cell, and writes results/gate-looks.json. With 100,000 gates a cell about three minutes on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lowbit.gate import power
from lowbit.gate.judge import divide
from lowbit.gate.looks import confidence_at, parts
from tests.bench.gate.cells import passing
from tests.bench.gate.distributions import Array
from tests.bench.record import figure, surroundings, write

PAIRS = ((0.02, 0.04), (0.02, 0.06), (0.03, 0.06), (0.03, 0.10))
"""Margin and discordance."""
LOOKS = 3


@dataclass(frozen=True)
class Row:
    """One setting, with one look at the end and with three."""

    margin: float
    discordance: float
    candidates: int
    count: int
    """The budget: what a power of 0.8 needs with one look."""
    false: float
    """Share of bad candidate lists of which one passes: every candidate loses exactly the margin."""
    power: float
    """Share of equal candidates that pass."""
    power_at_once: float
    """The same with one look."""
    used: float
    """Mean share of the budget that is used on an equal candidate."""

    @property
    def name(self) -> str:
        return f"margin {self.margin:g}, discordance {self.discordance:g}, candidates {self.candidates}"


@dataclass(frozen=True)
class Truth:
    """What a candidate is like."""

    lost: float
    gained: float


def look_rows(gates: int, seed: int, settings: Sequence[tuple[float, float]] = PAIRS) -> Iterator[Row]:
    """Every cell."""
    random = np.random.default_rng(seed)
    for margin, discordance in settings:
        for candidates in (1, 2, 3):
            yield row(margin, discordance, candidates, gates, random)


def row(margin: float, discordance: float, candidates: int, gates: int, random: np.random.Generator) -> Row:
    """One cell."""
    confidence = divide(0.95, candidates)
    count = power.paired_needed(margin, discordance, confidence, power.POWER)
    if count is None:
        raise ValueError(f"no number of pairs shows a margin of {margin}")
    plan = [
        (size, confidence_at(confidence, look, LOOKS)) for look, size in enumerate(parts(count, LOOKS), start=1)
    ]  # fmt: skip
    bad = Truth((discordance + margin) / 2, (discordance - margin) / 2)
    equal = Truth(discordance / 2, discordance / 2)
    passed, _ = play(plan, margin, bad, gates, random)
    power_three, used = play(plan, margin, equal, gates, random)
    power_one, _ = play([(count, confidence)], margin, equal, gates, random)
    return Row(margin, discordance, candidates, count, 1 - (1 - passed) ** candidates, power_three, power_one, used)


def play(
    plan: Sequence[tuple[int, float]], margin: float, truth: Truth, gates: int, random: np.random.Generator
) -> tuple[float, float]:
    """Share of the gates that pass at one of the looks, and the mean share of the samples that were used.

    plan: samples and confidence at each look.
    """
    shares = (truth.lost, truth.gained, 1 - truth.lost - truth.gained)
    lost, gained = np.zeros(gates, int), np.zeros(gates, int)
    passed, used, before = np.zeros(gates, bool), np.full(gates, float(plan[-1][0])), 0
    for count, confidence in plan:
        drawn = random.multinomial(count - before, shares, gates)
        lost, gained, before = lost + drawn[:, 0], gained + drawn[:, 1], count
        most: Array = np.array(passing(count, margin, confidence, int(gained.max())))
        now = ~passed & (lost <= most[gained])
        used[now] = count
        passed |= now
    return float(passed.mean()), float(used.mean() / plan[-1][0])


def main() -> None:
    """Play, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=100_000, help="played for each cell")
    parser.add_argument("--seed", type=int, default=1)
    asked, found = parser.parse_args(), []
    with surroundings() as seen:
        for one in look_rows(asked.gates, asked.seed):
            found.append(one)
            print(
                f"{one.name:50s} n {one.count:5d} false {100 * one.false:5.2f} power {100 * one.power:5.1f} "
                f"of {100 * one.power_at_once:5.1f} samples {100 * one.used:3.0f} %", flush=True
            )  # fmt: skip
    figures = [
        figure(f"{one.name}, n {one.count}: {what}", "%", [100 * value])
        for one in found
        for what, value in (
            ("false passes", one.false), ("power", one.power), ("power with one look", one.power_at_once),
            ("samples used", one.used),
        )
    ]  # fmt: skip
    write(
        "gate-looks", figures, seen, about="three looks", setting={"gates a cell": asked.gates, "seed": asked.seed}
    )  # fmt: skip


if __name__ == "__main__":
    main()
