"""A sample of the simulations in tests/bench/gate, and what the documentation draws from the code."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.gate import table, tutorial
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
