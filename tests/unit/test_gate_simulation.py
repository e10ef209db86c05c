"""A sample of tests/bench/gate: what lies on a threshold passes no more often than declared. Seeded."""

from __future__ import annotations

import math

import pytest

from lowbit.gate.bounds import minimum_count
from tests.bench.gate.cells import Cell, power, simulated, summed_pairs, summed_shares
from tests.bench.gate.distributions import Case, class_cases, mean_cases

GATES = 1000
MOST = {0.95: 1.3, 0.99: 1.4}
"""6.5 % of nominal 5, 1.4 % of nominal 1: what the simulation in full stays below."""


def within(cell: Cell) -> bool:
    """Whether the rate may well be that of a gate that keeps its promise."""
    promised = MOST[cell.confidence] * cell.nominal
    return cell.rate <= promised + 4 * math.sqrt(promised / GATES) + 1e-9


CASES = {f"{case.metric.name} {case.name}": case for case in [*mean_cases(), *class_cases()]}
SAMPLE = [
    "KLDivergence LN 1.5", "KLDivergence 2 % x25", "Top1Agreement .99 of 80", "Top1Agreement .95, 2 % at .5",
    "PerplexityRatio t3", "PerplexityRatio skewed", "AccuracyLoss Broken sharp 0.03 x3", "AccuracyLoss Spread 0.03 x10",
    "PrecisionLoss 0.3 r 0.97 p 0.97 flips 0.0 missed:alarms 0:1 margin 0.03",
    "F1Loss 0.1 r 0.85 p 0.85 flips 0.01 missed:alarms 1:1 margin 0.03",
]  # fmt: skip


@pytest.mark.parametrize("name", SAMPLE)
def test_what_lies_on_a_threshold_passes_no_more_often_than_declared(name: str) -> None:
    case: Case = CASES[name]
    cells = list(simulated(case, GATES, seed=11, more=()))
    assert len(cells) > 5
    assert [cell for cell in cells if not within(cell)] == []


@pytest.mark.parametrize(("margin", "candidates"), [(0.02, 1), (0.03, 3), (0.05, 2)])
def test_a_paired_loss_of_the_margin_passes_no_more_often_than_declared(margin: float, candidates: int) -> None:
    for cell in summed_pairs(margin, (), 0.95, candidates):
        assert cell.rate <= 1.01 * cell.nominal, cell


def test_a_share_on_the_threshold_passes_no_more_often_than_declared() -> None:
    assert all(summed_shares(value, 300, 0.95, k).rate <= 0.05 / k for value in (0.8, 0.95) for k in (1, 3))


@pytest.mark.parametrize(
    ("margin", "discordance", "count", "tango"), [(0.02, 0.04, 300, 0.488), (0.03, 0.06, 300, 0.649)]
)
def test_equal_models_pass_nearly_as_often_as_by_tangos_interval(
    margin: float, discordance: float, count: int, tango: float
) -> None:
    assert tango - 0.035 <= power(count, margin, 0.95, discordance) <= tango + 0.005


def test_every_case_can_be_measured_at_the_fewest_units() -> None:
    for case in CASES.values():
        assert (minimum_count(case.metric, 0.95, case.threshold) or 0) <= 299
