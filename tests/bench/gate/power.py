"""Whether `lowbit power` says what the gate does: the power that is planned, beside that of gates that are played.

    PYTHONPATH=operator .venv/bin/python -m tests.bench.gate.power [--gates 100000] [--seed 1]

Prints every cell, and writes results/gate-power.json. With 100,000 gates a cell about three minutes on one core.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lowbit.api.suites.fidelity_metrics import KL_DIVERGENCE
from lowbit.gate import power, skewed
from lowbit.gate.judge import divide
from lowbit.gate.skewed import Bar, Shape
from tests.bench.gate.cells import passes, passing
from tests.bench.gate.distributions import lognormal, rows
from tests.bench.record import figure, surroundings, write

PAIRS = ((0.02, 0.04), (0.02, 0.06), (0.03, 0.06), (0.03, 0.10), (0.05, 0.10))
"""Margin and discordance."""
SIGMAS = (0.5, 1.0, 1.5)
SHARES = (0.6, 0.8)
TEXTS = 256
THRESHOLD = 0.1
AT_ONCE = 4000
WITHIN = 2.0
"""Points that a planned power may be beside the played one."""


@dataclass(frozen=True)
class Row:
    """One planned power."""

    name: str
    count: int
    planned: float
    played: float

    @property
    def apart(self) -> float:
        """In points."""
        return 100 * abs(self.planned - self.played)


def power_rows(gates: int, seed: int) -> Iterator[Row]:
    """Every cell: equal models on the pairs that a margin needs, and candidates below a threshold on 256 texts."""
    random = np.random.default_rng(seed)
    for margin, discordance in PAIRS:
        for candidates in (1, 2, 3):
            yield pairs_row(margin, discordance, candidates, gates, random)
    for sigma in SIGMAS:
        for share in SHARES:
            yield texts_row(sigma, share, gates, random)


def pairs_row(margin: float, discordance: float, candidates: int, gates: int, random: np.random.Generator) -> Row:
    """Equal models on as many pairs as give a power of 0.8."""
    confidence = divide(0.95, candidates)
    count = power.paired_needed(margin, discordance, confidence, power.POWER)
    if count is None:
        raise ValueError(f"no number of pairs shows a margin of {margin}")
    drawn = random.multinomial(count, (discordance / 2, discordance / 2, 1 - discordance), gates)
    most = np.array(passing(count, margin, confidence, math.ceil(drawn[:, 1].max())))
    played = float((drawn[:, 0] <= most[drawn[:, 1]]).mean())
    planned = power.paired_power(count, margin, discordance, confidence)
    return Row(f"margin {margin:g}, discordance {discordance:g}, candidates {candidates}", count, planned, played)


def texts_row(sigma: float, share: float, gates: int, random: np.random.Generator) -> Row:
    """A candidate whose true divergence is a share of the threshold."""
    spread = math.exp(sigma * sigma)
    shape = Shape(math.sqrt(spread - 1), (spread + 2) * math.sqrt(spread - 1))
    planned, draw, passed, done = skewed.power(shape, TEXTS, Bar(share, 0.95, math.inf)), lognormal(sigma), 0, 0
    while done < gates:
        now = min(AT_ONCE, gates - done)
        values = THRESHOLD * share * draw(random, (now, TEXTS))
        passed += sum(passes(KL_DIVERGENCE, row, 0.95, THRESHOLD) for row in rows(KL_DIVERGENCE, values))
        done += now
    return Row(f"divergences log-normal {sigma:g}, at {share:g} of the threshold", TEXTS, planned, passed / gates)


def main() -> None:
    """Play, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=100_000, help="played for each cell")
    parser.add_argument("--seed", type=int, default=1)
    asked, found = parser.parse_args(), []
    with surroundings() as seen:
        for row in power_rows(asked.gates, asked.seed):
            found.append(row)
            print(f"{row.name:60s} n {row.count:5d} planned {100 * row.planned:5.1f} played {100 * row.played:5.1f}")
    figures = [figure(f"{row.name}, n {row.count}: {what}", "%", [100 * value])
               for row in found for what, value in (("planned", row.planned), ("played", row.played))]  # fmt: skip
    setting = {"gates a cell": asked.gates, "seed": asked.seed}
    write("gate-power", figures, seen, about="power as planned and as played", setting=setting)


if __name__ == "__main__":
    main()
