"""Quantiles of Student's t agree with scipy's."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from lowbit.gate.student_t import upper_quantile, upper_tail

tails = st.floats(min_value=1e-6, max_value=0.5)
degrees = st.one_of(st.integers(min_value=1, max_value=50), st.integers(min_value=51, max_value=100_000))


def by_scipy(tail: float, degrees: int) -> float:
    """The quantile. Next to the median by the density there: for 4 and 6 degrees scipy's own is wrong by 3e-8."""
    distance = 0.5 - tail
    return float(distance / stats.t.pdf(0, degrees) if distance < 1e-6 else stats.t.isf(tail, degrees))


@given(tail=tails, degrees=degrees)
@example(tail=0.49999999999999994, degrees=4)
@example(tail=0.4999999, degrees=6)
def test_a_quantile_agrees_with_scipy(tail: float, degrees: int) -> None:
    assert upper_quantile(tail, degrees) == pytest.approx(by_scipy(tail, degrees), rel=1e-8, abs=1e-9)


@given(tail=tails, degrees=degrees)
def test_a_quantile_and_its_tail_are_inverse(tail: float, degrees: int) -> None:
    assert upper_tail(upper_quantile(tail, degrees), degrees) == pytest.approx(tail, rel=1e-9)


@given(tail=tails, degrees=degrees)
def test_more_texts_or_less_confidence_never_widen_an_interval(tail: float, degrees: int) -> None:
    quantile = upper_quantile(tail, degrees)
    assert upper_quantile(tail, degrees + 1) <= quantile * (1 + 1e-9)
    assert upper_quantile(min(0.5, tail * 1.5), degrees) <= quantile * (1 + 1e-9)


@pytest.mark.parametrize(("tail", "degrees"), [(0.0, 5), (0.6, 5), (float("nan"), 5), (0.05, 0)])
def test_what_has_no_quantile_is_refused(tail: float, degrees: int) -> None:
    with pytest.raises(ValueError, match=r"tail probability|degree of freedom"):
        upper_quantile(tail, degrees)
