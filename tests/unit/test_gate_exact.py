"""The exact test of paired losses. Figures: worked out with other code (numpy, scipy)."""

from __future__ import annotations

import math
from itertools import product
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.api.status import MeanStatistics, Measurement, PairedCounts
from lowbit.api.suites.task_metrics import ACCURACY_LOSS
from lowbit.gate import exact
from lowbit.gate.bounds import NotANumberError, NotMeasuredError, bounds, minimum_count
from lowbit.gate.tango import score


def pairs(lost: int, gained: int, count: int) -> Measurement:
    cells = PairedCounts(both=count - lost - gained, original_only=lost, candidate_only=gained, neither=0)
    return Measurement(suite="s", metric="AccuracyLoss", count=count, pairs=cells)


def level(count: int, margin: float, error: float, gains: list[float]) -> float:
    """The largest score that passes, if these shares of gains are tried."""
    most = range(int(count * 0.3))
    scores = sorted({score(b, c, count, margin) for b, c in product(most, most) if b + c <= count})
    scores = [each for each in scores if -2.6 < each < -1.2]
    low, high = 0, len(scores) - 1
    while low < high:
        middle = (low + high + 1) // 2
        region = exact.boundary(count, margin, scores[middle] + exact.TIE)
        size = max(exact.probability(region, count, gain, gain + margin) for gain in gains)
        low, high = (middle, high) if size <= error else (low, middle - 1)
    return scores[low]


@pytest.mark.parametrize(
    ("count", "margin", "error", "expected"),
    [
        (100, 0.02, 0.05, -1.672372), (300, 0.02, 0.05, -1.652602), (500, 0.02, 0.05, -1.650644),
        (300, 0.03, 0.05, -1.693766), (500, 0.02, 0.05 / 3, -2.128199),
    ],
)  # fmt: skip
def test_the_score_that_passes_is_the_one_worked_out_with_other_code(
    count: int, margin: float, error: float, expected: float
) -> None:
    coarse = [0, 1e-5, 1e-4, 5e-4, *(1e-3 + (0.15 - 1e-3) * step / 39 for step in range(40))]
    assert level(count, margin, error, coarse) == pytest.approx(expected, abs=3e-4)


@pytest.mark.parametrize(
    ("lost", "gained", "count", "margin"),
    [(0, 0, 149, 0.02), (3, 1, 60, 0.05), (9, 9, 200, 0.03), (2, 2, 10, 0.1), (0, 12, 70, -0.1), (10, 2, 12, 0.1)],
)
def test_the_probability_of_a_region_is_the_sum_over_its_cells(
    lost: int, gained: int, count: int, margin: float
) -> None:
    limit = score(lost, gained, count, margin) + exact.TIE
    region = exact.boundary(count, margin, limit)
    cells = [(b, c) for b in range(count + 1) for c in range(count + 1 - b) if score(b, c, count, margin) <= limit]
    assert all((b <= region[c]) for b, c in cells)
    assert len(cells) == sum(most + 1 for most in region)
    for gain in (0.001 + max(0.0, -margin), 0.05 + max(0.0, -margin), 0.4):
        shares = (gain + margin, gain, 1 - 2 * gain - margin)
        total = math.fsum(trinomial((b, c, count - b - c), shares) for b, c in cells)
        assert exact.probability(region, count, gain, gain + margin) == pytest.approx(total, abs=1e-11)


def trinomial(numbers: tuple[int, ...], shares: tuple[float, ...]) -> float:
    ways = math.lgamma(sum(numbers) + 1) - sum(math.lgamma(each + 1) for each in numbers)
    return math.exp(ways + sum(number * math.log(share) for number, share in zip(numbers, shares, strict=True)))


def test_no_finer_search_finds_a_share_of_gains_that_is_worse() -> None:
    for lost, gained, count, margin in ((0, 1, 203, 0.02), (5, 5, 300, 0.02), (9, 9, 500, 0.03), (0, 0, 99, 0.03)):
        region = exact.as_good(lost, gained, count, margin)
        worst = max(exact.probability(region, count, 0.15 * step / 3000, 0.15 * step / 3000 + margin)
                    for step in range(3001))  # fmt: skip
        assert exact.p_value(lost, gained, count, margin) >= worst - 1e-6


@pytest.mark.parametrize(
    ("margin", "candidates", "needed"),
    [(0.01, 1, 299), (0.02, 1, 149), (0.03, 1, 99), (0.05, 1, 59), (0.01, 3, 408), (0.02, 3, 203), (0.03, 3, 135),
     (0.05, 3, 80)],
)  # fmt: skip
def test_so_many_units_are_the_fewest_with_which_a_candidate_without_any_difference_passes(
    margin: float, candidates: int, needed: int
) -> None:
    confidence = 1 - 0.05 / candidates
    assert minimum_count(ACCURACY_LOSS, confidence, margin) == needed
    assert bounds(ACCURACY_LOSS, pairs(0, 0, needed), confidence, margin).upper <= margin
    assert bounds(ACCURACY_LOSS, pairs(0, 0, needed - 1), confidence, margin).upper > margin


small = st.integers(0, 25)
margins = st.sampled_from([0.01, 0.02, 0.03, 0.05, 0.1])


@settings(deadline=None)
@given(lost=small, gained=small, rest=st.integers(2, 400), margin=margins, confidence=st.floats(0.8, 0.99))
def test_the_bounds_that_are_shown_say_what_the_test_says(
    lost: int, gained: int, rest: int, margin: float, confidence: float
) -> None:
    count = lost + gained + rest
    found = bounds(ACCURACY_LOSS, pairs(lost, gained, count), confidence, margin)
    assert found.lower <= found.value <= found.upper
    if found.value < margin:
        assert (found.upper <= margin) == (exact.p_value(lost, gained, count, margin) <= 1 - confidence)
        assert found.lower <= margin
    else:
        assert (found.lower > margin) == (
            found.value > margin and exact.p_value(gained, lost, count, -margin) <= 1 - confidence
        )


@settings(deadline=None)
@given(lost=small, gained=small, rest=st.integers(2, 400), margin=margins)
def test_more_confidence_never_narrows_the_bounds(lost: int, gained: int, rest: int, margin: float) -> None:
    measured = pairs(lost, gained, lost + gained + rest)
    found = [bounds(ACCURACY_LOSS, measured, confidence, margin) for confidence in (0.8, 0.9, 0.95, 0.951, 0.99)]
    assert [each.upper for each in found] == sorted(each.upper for each in found)
    assert [each.lower for each in found] == sorted((each.lower for each in found), reverse=True)


@settings(deadline=None)
@given(lost=st.integers(1, 30), gained=small, rest=st.integers(1, 300), margin=margins)
def test_on_the_same_questions_one_more_right_answer_never_makes_the_test_worse(
    lost: int, gained: int, rest: int, margin: float
) -> None:
    """A loss that is none any more, and a question that both got wrong and the candidate gets right."""
    count = lost + gained + rest
    before = exact.p_value(lost, gained, count, margin)
    assert exact.p_value(lost - 1, gained, count, margin) <= before + 1e-7
    assert exact.p_value(lost, gained + 1, count, margin) <= before + 1e-7


def size(count: int, margin: float, confidence: float, discordance: float) -> float:
    """Probability that a candidate that loses exactly the margin passes: exact sums over what may be observed."""
    gain, loss = (discordance - margin) / 2, (discordance + margin) / 2
    passing, most = [], -1
    for gained in range(min(count, int(count * gain + 9 * math.sqrt(count * gain) + 9)) + 1):
        while most + 1 + gained <= count:
            if bounds(ACCURACY_LOSS, pairs(most + 1, gained, count), confidence, margin).upper > margin:
                break
            most += 1
        passing.append(most)
    return exact.probability([*passing, *[passing[-1]] * count], count, gain, loss)


@pytest.mark.parametrize(
    ("count", "margin", "confidence", "discordance"),
    [(59, 0.05, 0.95, 0.05), (99, 0.03, 0.95, 0.1), (149, 0.02, 0.95, 0.06), (149, 0.02, 0.95, 0.2),
     (203, 0.02, 1 - 0.05 / 3, 0.06), (300, 0.03, 0.95, 0.1)],
)  # fmt: skip
def test_a_candidate_that_loses_the_margin_passes_no_more_often_than_declared(
    count: int, margin: float, confidence: float, discordance: float
) -> None:
    assert size(count, margin, confidence, discordance) <= 1 - confidence + 1e-6


def test_above_a_thousand_units_tangos_bound_decides() -> None:
    found = bounds(ACCURACY_LOSS, pairs(30, 28, 1400), 0.95, 0.012)
    assert score(30, 28, 1400, found.upper) == pytest.approx(NormalDist().inv_cdf(0.05), abs=1e-9)


def test_many_models_that_differ_in_most_of_their_answers_are_tried_with_as_many() -> None:
    assert exact.largest_gain(10, 300, 0.02) == pytest.approx(0.15)
    assert exact.largest_gain(200, 300, 0.02) > 0.35
    assert exact.largest_gain(300, 300, 0.02) < 0.49


def repeated(value: float, error: float, skewness: float = 0.0, count: int = 200) -> Measurement:
    mean = MeanStatistics(value=str(value), standard_error=str(error), skewness=str(skewness))
    return Measurement(suite="s", metric="AccuracyLoss", count=count, mean=mean)


def test_prompts_that_are_answered_several_times_are_judged_by_their_means() -> None:
    found, held = (bounds(ACCURACY_LOSS, repeated(0.005, 0.01), 0.95, against) for against in (None, 0.03))
    assert (found.lower, found.upper) == pytest.approx((0.005 - 0.01653, 0.005 + 0.01653), abs=1e-4)
    assert found.upper < held.upper < 0.024, "one more prompt that loses much is added to what passes"
    assert held.lower == found.lower
    with pytest.raises(NotMeasuredError, match="rests on 99 questions, and needs 100"):
        bounds(ACCURACY_LOSS, repeated(0.005, 0.01, count=99), 0.95, 0.05)
    with pytest.raises(NotMeasuredError, match="rests on 200 questions, and needs 299"):
        bounds(ACCURACY_LOSS, repeated(0.005, 0.001), 0.95, 0.01)


def test_equal_answers_in_every_prompt_are_as_good_as_no_loss_in_as_many_pairs() -> None:
    assert bounds(ACCURACY_LOSS, repeated(0, 0, math.nan, 149), 0.95, 0.02).upper == pytest.approx(0.02, rel=0.2)
    with pytest.raises(NotMeasuredError, match="in each of 200 questions"):
        bounds(ACCURACY_LOSS, repeated(0.1, 0), 0.95, 0.02)


def test_counts_that_do_not_add_up_fail() -> None:
    broken = pairs(3, 1, 100).model_copy(update={"count": 101})
    with pytest.raises(NotANumberError, match="do not add up"):
        bounds(ACCURACY_LOSS, broken, 0.95, 0.02)
