"""Confidence bounds of a mean whose units are skewed: Hall's correction of Student's t, and a guard.

P. Hall, On the removal of skewness by transformation, Journal of the Royal Statistical Society B 54 (1992): a monotone
cubic of the t statistic has no skewness to first order. Student's t passes 6 to 33 % of what lies on the margin where
units differ much or damage is rare, and says 5 (docs/design/gate.md).
"""

from __future__ import annotations

from math import cbrt, ceil, log, sqrt

from lowbit.gate.student_t import upper_quantile

RARE = 0.02
"""Damage to so few units must not go unseen with a probability above that of an error."""
GUARD = 10.0
"""The added unit is as bad as so many times the threshold, up to GUARD_COUNT units."""
GUARD_COUNT = 256
"""With more the guard grows with the cube root: Hall's correction errs longer than one unit of this size counts."""
NO_SKEWNESS = 1e-9
"""Below it the correction is that of Student's t."""


def minimum_count(confidence: float, share: float = RARE) -> int:
    """Units of which at least one is damaged with this probability, if that share of all units is."""
    # Rounded, because a confidence that was divided over candidates is a little off in its last digits.
    return ceil(round(log(1 - confidence) / log(1 - share), 9))


def upper(mean: float, error: float, skewness: float, count: int, confidence: float) -> float:
    """One-sided upper bound of the mean of count units. A skewness below 0 counts as 0, which widens the bound."""
    return mean - error * _t_at(-upper_quantile(1 - confidence, count - 1), skewness, count)


def lower(mean: float, error: float, skewness: float, count: int, confidence: float) -> float:
    """One-sided lower bound of the mean of count units. A skewness below 0 counts as 0."""
    return mean - error * _t_at(upper_quantile(1 - confidence, count - 1), skewness, count)


def guard_of(threshold: float, count: int) -> float:
    """The value of the added unit."""
    return GUARD * threshold * max(1.0, cbrt(count / GUARD_COUNT))


def guarded_upper(mean: float, error: float, skewness: float, count: int, confidence: float, guard: float) -> float:
    """The upper bound with one more unit, of the value guard: one bad unit that was not seen."""
    whole = count + 1
    deviation = error * sqrt(count)
    shifted = (count * mean + guard) / whole
    spread = sqrt(((count - 1) * deviation**2 + count * (guard - mean) ** 2 / whole) / count)
    return upper(shifted, spread / sqrt(whole), skewness, whole, confidence)


def _t_at(quantile: float, skewness: float, count: int) -> float:
    """The t statistic whose transform is the quantile."""
    a = max(skewness, 0.0) / sqrt(count)
    if a < NO_SKEWNESS:
        return quantile
    return 3 / a * (cbrt(1 + a * (quantile - a / 6)) - 1)
