"""Bounds of the difference of two paired proportions, by the score method.

Source: Tango 1998, Statistics in Medicine 17, 891-908.
"""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

STEPS = 60
"""Halvings of an interval of length 2: beyond double precision."""


def tango(gained: int, lost: int, count: int, confidence: float) -> tuple[float, float]:
    """One-sided lower and upper bound of (gained - lost) / count, each with that confidence.

    gained, lost: units that only the second, or only the first of two models got right.
    """
    quantile = NormalDist().inv_cdf(confidence)
    return _root(gained, lost, count, quantile), _root(gained, lost, count, -quantile)


def score(gained: int, lost: int, count: int, difference: float) -> float:
    """How far the counts are from a difference, in standard errors; falls as the difference grows."""
    distance = gained - lost - count * difference
    # The probability of a loss that fits best, given the difference: the root of a quadratic equation.
    half = 2 * count
    linear = -gained - lost + (2 * count - gained + lost) * difference
    constant = -lost * difference * (1 - difference)
    loss = (sqrt(max(linear * linear - 4 * half * constant, 0.0)) - linear) / (2 * half)
    variance = count * (2 * loss + difference * (1 - difference))
    if variance <= 0:
        return 0.0 if distance == 0 else float("inf") if distance > 0 else float("-inf")
    return distance / sqrt(variance)


def _root(gained: int, lost: int, count: int, quantile: float) -> float:
    """The difference whose score is the quantile."""
    low, high = -1.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if score(gained, lost, count, middle) > quantile:
            low = middle
        else:
            high = middle
    return (low + high) / 2
