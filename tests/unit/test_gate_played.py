"""A sample of the simulations in tests/bench/gate, and what the documentation draws from the code."""

from __future__ import annotations

from math import inf, sqrt

import numpy as np
import pytest

from lowbit.api.status import MeanStatistics, Measurement
from lowbit.api.suites.fidelity_metrics import KL_DIVERGENCE, TOP1_AGREEMENT
from lowbit.api.suites.metric import Metric
from lowbit.gate.skewed import Bar, Play
from tests.bench.gate import table, tutorial
from tests.bench.gate.cells import passes
from tests.bench.gate.looks import look_rows
from tests.bench.gate.power import WITHIN, pairs_row, texts_row

GATES = 20_000


def test_three_looks_keep_the_error_and_cost_little_power() -> None:
    """A standard error is 0.15 points at a rate of 5 %, and 0.3 at one of 80 %."""
    for row in look_rows(GATES, 7, [(0.03, 0.06)]):
        assert 0.033 <= row.false <= 0.0545, row.name
        assert row.power_at_once - row.power <= 0.032, row.name
        assert row.used < 0.92, row.name


@pytest.mark.parametrize("candidates", [1, 3])
def test_the_planned_power_of_pairs_is_the_played_one(candidates: int) -> None:
    row = pairs_row(0.03, 0.06, candidates, GATES, np.random.default_rng(3))
    assert row.apart <= WITHIN
    assert 0.78 <= row.played <= 0.84


@pytest.mark.parametrize(("sigma", "share"), [(1.0, 0.6), (1.5, 0.8)])
def test_the_planned_power_of_skewed_texts_is_the_played_one(sigma: float, share: float) -> None:
    row = texts_row(sigma, share, 4000, np.random.default_rng(4))
    assert row.apart <= WITHIN + 2.4, "two points, and three standard errors of so few gates"


@pytest.mark.parametrize(
    ("metric", "threshold", "most"), [(KL_DIVERGENCE, 0.1, inf), (TOP1_AGREEMENT, 0.9, 10.0)], ids=["KL", "agreement"]
)
@pytest.mark.parametrize("count", [256, 1000, 4000])
def test_what_is_played_passes_where_the_gate_passes_it(
    metric: Metric, threshold: float, most: float, count: int
) -> None:
    """Losses of 1 on average against a threshold of 1 / 0.9, and the same in the metric's numbers."""
    scale = 0.1 * 0.9
    for step in range(100):
        play = Play(1 + step / 1000, 1.31 / sqrt(count), 4.0)
        loss = (scale * play.mean, play.skewness)
        value, skewness = loss if metric.better == "Lower" else (1 - loss[0], -loss[1])
        told = MeanStatistics(value=repr(value), standard_error=repr(scale * play.error), skewness=repr(skewness))
        row = Measurement(suite="s", metric=metric.name, count=count, mean=told)
        assert Bar(0.9, 0.95, most).passed(play, count) == passes(metric, row, 0.95, threshold), play


def test_twenty_questions_pass_what_loses_two_points_more_often_than_not() -> None:
    assert tutorial.observed(0.02) == pytest.approx(0.57, abs=0.005)
    twenty, ours = tutorial.curves()
    assert twenty.passes(0.0) == pytest.approx(0.71, abs=0.01)
    assert ours.passes(0.02) <= 0.0505
    assert ours.passes(0.0) >= 0.8


def test_the_picture_and_the_table_of_the_documentation_are_those_of_the_code() -> None:
    assert tutorial.PAGE.read_text() == tutorial.drawing(tutorial.curves())
    page = table.PAGE.read_text()
    assert table.current(page) == page
    assert "| 2 points | 6 % | 149 | 982 | 1250 | 1407 |" in page
