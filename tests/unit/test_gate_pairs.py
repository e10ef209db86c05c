"""Bounds of paired proportions and of bootstrap quantiles."""

from __future__ import annotations

import math
import random
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.api.status import Measurement, PairedCounts, Quantiles
from lowbit.api.suites.metric import Metric
from lowbit.gate.bounds import NotANumberError, NotMeasuredError, bounds, needed_count
from lowbit.gate.tango import score, tango

ACCURACY = Metric(
    name="AccuracyLoss", title="Accuracy lost", meaning="original less candidate", better="Lower", least=-1.0,
    greatest=1.0, bound="Paired", unit="question",
)  # fmt: skip
F1 = Metric(name="F1", title="F1", meaning="mean", better="Higher", greatest=1.0, bound="Bootstrap")
counts = st.integers(0, 60)


def pairs(both: int, original: int, candidate: int, neither: int, count: int | None = None) -> Measurement:
    cells = PairedCounts(both=both, original_only=original, candidate_only=candidate, neither=neither)
    total = both + original + candidate + neither if count is None else count
    return Measurement(suite="s", metric="AccuracyLoss", count=total, pairs=cells)


def passes(count: int, margin: float, lost: float, gained: float) -> float:
    """Probability that a candidate that loses and gains so often is found to be at most margin worse."""
    z, rest, total = NormalDist().inv_cdf(0.95), 1 - lost - gained, 0.0
    for losses in range(min(count, 60) + 1):
        for gains in range(min(count - losses, 60) + 1):
            if score(gains, losses, count, -margin) >= z:
                ways = math.lgamma(count + 1) - math.lgamma(losses + 1) - math.lgamma(gains + 1)
                ways -= math.lgamma(count - losses - gains + 1)
                total += math.exp(
                    ways
                    + losses * math.log(lost)
                    + gains * math.log(gained)
                    + (count - losses - gains) * math.log(rest)
                )
    return total


@pytest.mark.parametrize(
    ("margin", "discordance", "count", "false", "power"),
    [
        (0.02, 0.04, 100, 4.37, 21.9),
        (0.02, 0.06, 200, 4.67, 28.2),
        (0.03, 0.06, 300, 4.70, 64.9),
        (0.03, 0.1, 200, 4.89, 36.8),
    ],
)
def test_the_interval_passes_as_often_as_was_worked_out_with_other_code(
    margin: float, discordance: float, count: int, false: float, power: float
) -> None:
    """Exact sums over the trinomial: of candidates that are worse by the margin, and of ones that are as good."""
    worse = passes(count, margin, (discordance + margin) / 2, (discordance - margin) / 2)
    equal = passes(count, margin, discordance / 2, discordance / 2)
    assert (100 * worse, 100 * equal) == pytest.approx((false, power), abs=0.06)


@given(gained=counts, lost=counts, rest=counts)
def test_without_a_difference_the_score_is_mcnemars(gained: int, lost: int, rest: int) -> None:
    if gained + lost:
        assert score(gained, lost, gained + lost + rest, 0.0) == pytest.approx(
            (gained - lost) / math.sqrt(gained + lost)
        )


@given(gained=counts, lost=counts, rest=counts, confidence=st.floats(0.8, 0.999))
def test_the_bounds_hold_the_value_and_mirror_each_other(gained: int, lost: int, rest: int, confidence: float) -> None:
    count = gained + lost + rest
    if count == 0:
        return
    lower, upper = tango(gained, lost, count, confidence)
    assert -1 <= lower <= (gained - lost) / count + 1e-9
    assert (gained - lost) / count - 1e-9 <= upper <= 1
    other_lower, other_upper = tango(lost, gained, count, confidence)
    assert (other_lower, other_upper) == pytest.approx((-upper, -lower), abs=1e-9)


@pytest.mark.parametrize(("loss", "gain"), [(0.05, 0.03), (0.1, 0.1), (0.02, 0.0)])
def test_a_bound_is_passed_no_more_often_than_declared(loss: float, gain: float) -> None:
    generator, runs, count, wrong = random.Random(5), 3000, 150, 0
    for _ in range(runs):
        draws = [generator.random() for _ in range(count)]
        lost = sum(draw < loss for draw in draws)
        gained = sum(loss <= draw < loss + gain for draw in draws)
        wrong += tango(gained, lost, count, 0.95)[0] > gain - loss
    assert wrong / runs <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)


def test_counts_that_do_not_add_up_are_no_numbers() -> None:
    assert bounds(ACCURACY, pairs(90, 5, 3, 2), 0.95).value == pytest.approx(0.02)
    for broken in (pairs(90, 5, 3, 2, count=101), pairs(90, -5, 13, 2)):
        with pytest.raises(NotANumberError):
            bounds(ACCURACY, broken, 0.95)
    with pytest.raises(NotMeasuredError, match="rests on 1 question,"):
        bounds(ACCURACY, pairs(1, 0, 0, 0), 0.95)


def normal_grid(mean: float, deviation: float) -> Quantiles:
    grid = [n / 200 for n in range(1, 200)]
    values = [f"{NormalDist(mean, deviation).inv_cdf(p):.9f}" for p in grid]
    return Quantiles(value=str(mean), probabilities=[str(p) for p in grid], values=values)


def quantiles(found: Quantiles, count: int = 100) -> Measurement:
    return Measurement(suite="s", metric="F1", count=count, quantiles=found)


def test_the_quantiles_of_a_bootstrap_are_its_bounds() -> None:
    found = bounds(F1, quantiles(normal_grid(0.8, 0.02)), 0.95)
    assert (found.lower, found.upper) == pytest.approx((0.8 - 1.645 * 0.02, 0.8 + 1.645 * 0.02), abs=1e-4)
    with pytest.raises(NotMeasuredError, match=r"no quantiles for a confidence of 0\.999"):
        bounds(F1, quantiles(normal_grid(0.8, 0.02)), 0.999)


@pytest.mark.parametrize(
    "broken",
    [
        Quantiles(value="nan", probabilities=["0.05", "0.95"], values=["0.1", "0.2"]),
        Quantiles(value="0.5", probabilities=["0.05", "0.95"], values=["0.6", "0.4"]),
        Quantiles(value="0.5", probabilities=["0.95", "0.05"], values=["0.4", "0.6"]),
        Quantiles(value="0.5", probabilities=["0.05", "0.95"], values=["0.4", "nan"]),
        Quantiles(value="0.5", probabilities=[], values=[]),
        Quantiles(value="1.5", probabilities=["0.05", "0.95"], values=["0.4", "0.6"]),
        Quantiles(value="0.1", probabilities=["0.05", "0.95"], values=["0.9", "0.91"]),
        Quantiles(value="0.5", probabilities=["0.05", "0.95"], values=["0.4", "0.6", "0.7"]),
        Quantiles(value="0.9", probabilities=["0.05", "0.95"], values=["0.8", "1.2"]),
    ],
)
def test_quantiles_that_make_no_sense_never_pass(broken: Quantiles) -> None:
    with pytest.raises(NotANumberError):
        bounds(F1, quantiles(broken), 0.95)


def test_what_cannot_be_decided_says_how_many_units_would_whatever_the_statistics() -> None:
    needed = needed_count(ACCURACY, pairs(185, 6, 5, 4), 0.02, 0.95)
    # (1.645 + 0.842)^2 * (0.055 - 0.005^2) / 0.015^2 = 1511; a score interval is wider than the plain variance says
    assert needed == pytest.approx(1511, rel=0.25)
    assert needed_count(F1, quantiles(normal_grid(0.8, 0.02)), 0.79, 0.95) == pytest.approx(
        100 * (2.487 * 2) ** 2, rel=0.02
    )


def test_a_margin_is_a_maximum_of_what_is_lost() -> None:
    found = bounds(ACCURACY, pairs(1800, 60, 60, 80), 0.95)
    assert found.value == 0
    assert 0 < found.upper < 0.02, "not inferior by two points"
    assert bounds(ACCURACY, pairs(1800, 90, 30, 80), 0.95).lower > 0.02
