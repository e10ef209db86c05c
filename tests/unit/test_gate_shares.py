"""Bounds of a candidate's own share, and of the loss of precision and F1 of a class."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from lowbit.api.status import ClassCounts, MeanStatistics, Measurement, PairedCounts
from lowbit.api.suites.metric import Metric
from lowbit.api.suites.task_metrics import ACCURACY, F1_LOSS, PRECISION_LOSS, RECALL
from lowbit.gate.bounds import NotANumberError, NotMeasuredError, bounds, minimum_count

counts = st.integers(0, 60)


def share(successes: int, count: int, metric: Metric = ACCURACY) -> Measurement:
    return Measurement(suite="s", metric=metric.name, count=count, successes=successes)


@pytest.mark.parametrize(("successes", "count"), [(0, 30), (30, 30), (1, 7), (285, 300), (950, 1000), (4999, 5000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_a_share_is_bounded_as_by_clopper_and_pearson(successes: int, count: int, confidence: float) -> None:
    found = bounds(ACCURACY, share(successes, count), confidence, 0.9)
    test = stats.binomtest(successes, count)
    lower = test.proportion_ci(1 - 2 * (1 - confidence)).low
    upper = test.proportion_ci(1 - 2 * (1 - confidence)).high
    assert (found.value, found.lower, found.upper) == pytest.approx((successes / count, lower, upper), abs=1e-9)


def test_right_answers_in_every_question_still_leave_a_bound() -> None:
    assert bounds(ACCURACY, share(150, 150), 0.95).lower == pytest.approx(0.05 ** (1 / 150))


@pytest.mark.parametrize(("value", "needed"), [(0.98, 149), (0.95, 59), (0.9, 29)])
def test_so_many_right_answers_show_a_share(value: float, needed: int) -> None:
    assert minimum_count(ACCURACY, 0.95, value) == needed
    assert bounds(ACCURACY, share(needed, needed), 0.95, value).lower >= value
    assert bounds(ACCURACY, share(needed - 1, needed - 1), 0.95, value).lower < value
    assert minimum_count(ACCURACY, 0.95, 1.0) is None


def test_more_successes_than_units_fail() -> None:
    for broken in (share(11, 10), share(-1, 10)):
        with pytest.raises(NotANumberError):
            bounds(ACCURACY, broken, 0.95)
    with pytest.raises(NotMeasuredError, match="Recall of class fraud was not measured"):
        none = Measurement(suite="s", metric="Recall", slice="fraud", slice_kind="Class", count=10)
        bounds(RECALL, none, 0.95)


def test_prompts_with_several_answers_each_are_bounded_by_their_means() -> None:
    def row(value: float, error: float, count: int = 200) -> Measurement:
        mean = MeanStatistics(value=str(value), standard_error=str(error), skewness="0")
        return Measurement(suite="s", metric="Accuracy", count=count, mean=mean)

    plain, held = (bounds(ACCURACY, row(0.9, 0.01), 0.95, against) for against in (None, 0.85))
    assert plain.lower == pytest.approx(0.9 - 0.01653, abs=1e-4)
    assert 0.87 < held.lower < plain.lower, "one more prompt that fails is added to what passes"
    assert held.upper == plain.upper
    assert bounds(ACCURACY, row(1, 0), 0.95, 0.85).lower == pytest.approx(0.05 ** (1 / 200))
    with pytest.raises(NotMeasuredError, match="rests on 99 questions, and needs 100"):
        bounds(ACCURACY, row(0.9, 0.01, 99), 0.95, 0.85)


@given(count=st.integers(1, 3000), share_=st.floats(0, 1), low=st.floats(0.8, 0.98), more=st.floats(0.001, 0.015))
def test_a_shares_bounds_hold_it_and_widen_with_confidence(count: int, share_: float, low: float, more: float) -> None:
    row = share(round(share_ * count), count)
    narrow, wide = bounds(ACCURACY, row, low), bounds(ACCURACY, row, low + more)
    assert narrow.lower - 1e-9 <= narrow.value <= narrow.upper + 1e-9
    assert wide.lower <= narrow.lower <= narrow.upper <= wide.upper


def of_class(
    positives: tuple[int, int, int, int], others: tuple[int, int, int, int], metric: Metric = F1_LOSS
) -> Measurement:
    """Units of the class, and others: both, the original only, the candidate only, neither say that they are."""
    halves = [PairedCounts(both=a, original_only=b, candidate_only=c, neither=d) for a, b, c, d in (positives, others)]
    classes = ClassCounts(of_class=halves[0], others=halves[1])
    return Measurement(
        suite="s", metric=metric.name, slice="fraud", slice_kind="Class", count=sum(positives) + sum(others),
        classes=classes,
    )  # fmt: skip


def test_losses_of_precision_and_f1_are_those_of_the_counts() -> None:
    row = of_class((300, 20, 10, 20), (15, 5, 25, 955))
    first, second = 320 / (320 + 20), 310 / (310 + 40)
    assert bounds(PRECISION_LOSS, row, 0.95).value == pytest.approx(first - second)
    first, second = 2 * 320 / (640 + 20 + 30), 2 * 310 / (620 + 40 + 40)
    assert bounds(F1_LOSS, row, 0.95).value == pytest.approx(first - second)


def test_the_error_of_a_loss_of_f1_is_that_of_leaving_out_one_unit_at_a_time() -> None:
    positives, others = (300, 20, 10, 20), (15, 5, 25, 955)
    count = sum(positives) + sum(others)

    def value(cells: list[int]) -> float:
        both, original, candidate, neither, all_, first, second, _ = cells
        right = 2 * (both + original), 2 * (both + candidate)
        return right[0] / (right[0] + candidate + neither + all_ + first) - right[1] / (
            right[1] + original + neither + all_ + second
        )

    cells = [*positives, *others]
    left = [value([each - (at == out) for at, each in enumerate(cells)]) for out in range(8)]
    mean = sum(number * each for number, each in zip(cells, left, strict=True)) / count
    jackknife = sum(n * (each - mean) ** 2 for n, each in zip(cells, left, strict=True)) * (count - 1) / count
    found = bounds(F1_LOSS, of_class(positives, others), 0.95)
    assert (found.upper - found.lower) / 2 / 1.646 == pytest.approx(math.sqrt(jackknife), rel=0.03)


def test_a_class_with_too_few_answers_is_not_measured_and_says_the_numbers() -> None:
    with pytest.raises(NotMeasuredError) as said:
        bounds(F1_LOSS, of_class((80, 10, 0, 40), (4, 0, 1, 900)), 0.95, 0.05)
    assert str(said.value) == (
        "F1Loss of class fraud rests on 130 questions of the class, 94 that the original and 85 that the candidate "
        "answers with it, and needs 100 of each"
    )


def test_a_small_class_is_judged_as_if_one_more_was_missed_and_one_more_taken_for_it() -> None:
    small = bounds(F1_LOSS, of_class((150, 3, 3, 14), (10, 2, 2, 800)), 0.95, 0.05)
    added = bounds(F1_LOSS, of_class((150, 4, 3, 14), (10, 2, 3, 800)), 0.95, None)
    assert small.value == 0
    assert small.upper >= added.value
    enough = bounds(F1_LOSS, of_class((300, 6, 6, 28), (20, 4, 4, 1600)), 0.95, 0.05)
    assert (small.upper - small.value) > 1.5 * (enough.upper - enough.value)


@pytest.mark.parametrize("metric", [PRECISION_LOSS, F1_LOSS])
def test_answers_that_are_all_equal_are_not_proof_of_no_loss(metric: Metric) -> None:
    found = bounds(metric, of_class((300, 0, 0, 0), (0, 0, 0, 700), metric), 0.95, 0.02)
    assert found.value == 0
    assert found.upper == pytest.approx(1 - 0.05 ** (1 / 300))


@pytest.mark.parametrize("metric", [PRECISION_LOSS, F1_LOSS])
@pytest.mark.parametrize("margin", [0.01, 0.02, 0.05, 0.1])
def test_so_many_of_a_class_are_the_fewest_with_which_equal_answers_pass(metric: Metric, margin: float) -> None:
    needed = minimum_count(metric, 0.95, margin)
    assert needed is not None
    equal = of_class((needed, 0, 0, 0), (0, 0, 0, 5 * needed), metric)
    assert bounds(metric, equal, 0.95, margin).upper <= margin
    if needed > 100:
        fewer = of_class((needed - 1, 0, 0, 0), (0, 0, 0, needed - 1), metric)
        assert bounds(metric, fewer, 0.95, margin).upper > margin


eight = st.tuples(st.integers(100, 400), counts, counts, counts, counts, counts, counts, st.integers(0, 900))


@settings(deadline=None)
@given(cells=eight, low=st.floats(0.8, 0.97), more=st.floats(0.001, 0.02), margin=st.sampled_from([0.02, 0.05]))
@pytest.mark.parametrize("metric", [PRECISION_LOSS, F1_LOSS])
def test_a_classs_bounds_hold_its_loss_and_widen_with_confidence(
    metric: Metric, cells: tuple[int, ...], low: float, more: float, margin: float
) -> None:
    row = of_class(cells[:4], cells[4:], metric)  # type: ignore[arg-type]
    narrow, wide = bounds(metric, row, low, margin), bounds(metric, row, low + more, margin)
    assert narrow.lower <= narrow.value <= narrow.upper
    assert wide.lower <= narrow.lower
    assert narrow.upper <= wide.upper


@settings(deadline=None)
@given(cells=eight, margin=st.sampled_from([0.02, 0.03, 0.05]))
def test_a_positive_that_is_found_again_never_makes_f1_worse(cells: tuple[int, ...], margin: float) -> None:
    both, original, *rest = cells
    assume(original)
    before = bounds(F1_LOSS, of_class((both, original, *rest[:2]), tuple(rest[2:])), 0.95, margin)  # type: ignore[arg-type]
    after = bounds(F1_LOSS, of_class((both + 1, original - 1, *rest[:2]), tuple(rest[2:])), 0.95, margin)  # type: ignore[arg-type]
    assert after.value < before.value
    assert (after.upper <= margin) >= (before.upper <= margin)
    assert (after.lower > margin) <= (before.lower > margin)
