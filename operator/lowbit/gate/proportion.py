"""Exact bounds of a share of the candidate's own: C. Clopper and E. Pearson, Biometrika 26 (1934)."""

from __future__ import annotations

from functools import lru_cache

from lowbit.api.status import Measurement
from lowbit.api.suites.metric import Metric
from lowbit.gate import hall
from lowbit.gate.means import shielded
from lowbit.gate.measured import (
    Bounds,
    Mean,
    NotMeasuredError,
    check_count,
    check_sum,
    named,
    number,
    on_scale,
    read_mean,
)
from lowbit.gate.paired import REPEATED
from lowbit.gate.student_t import incomplete_beta

HALVINGS = 60
"""Of an interval of length 1: beyond double precision."""


def proportion(metric: Metric, measured: Measurement, confidence: float, threshold: float | None) -> Bounds:
    """Of successes: Clopper and Pearson. Of prompts that were answered several times each: Hall."""
    successes = measured.successes
    if successes is None:
        return repeated(metric, measured, confidence, threshold)
    check_sum(metric, measured, (successes, measured.count - successes))
    check_count(metric, measured, 1)
    lower, upper = clopper_pearson(successes, measured.count, confidence)
    return Bounds(successes / measured.count, lower, upper, measured.count)


def repeated(metric: Metric, measured: Measurement, confidence: float, threshold: float | None) -> Bounds:
    """Bounds of the mean over prompts of each one's share of right answers."""
    mean, least = measured.mean, minimum(metric, confidence, threshold)
    if mean is None:
        raise NotMeasuredError(f"{named(metric, measured)} was not measured")
    check_count(metric, measured, max(REPEATED, least or 0))
    value, error = number(mean.value), number(mean.standard_error)
    if error == 0 and value in (0, 1):
        return Bounds(
            value, *clopper_pearson(round(value * measured.count), measured.count, confidence), measured.count
        )
    read = read_mean(metric, measured)
    missing = Mean(1 - read.value, read.error, -read.skewness, read.count)
    least_missing, most_missing = shielded(missing, confidence, None if threshold is None else 1 - threshold)
    return on_scale(metric, read, 1 - most_missing, 1 - least_missing)


@lru_cache(maxsize=1024)
def clopper_pearson(successes: int, count: int, confidence: float) -> tuple[float, float]:
    """One-sided lower and upper bound of a share, each with that confidence or more."""
    lower = _beta_quantile(1 - confidence, successes, count - successes + 1) if successes else 0.0
    upper = _beta_quantile(confidence, successes + 1, count - successes) if successes < count else 1.0
    return lower, upper


def _beta_quantile(probability: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if incomplete_beta(middle, 1 - middle, a, b) < probability else (low, middle)
    return (low + high) / 2


def minimum(_: Metric, confidence: float, threshold: float | None) -> int | None:
    """Units without which nothing passes a minimum, even if all are right; None if no number of units would do."""
    if threshold is None or threshold <= 0:
        return 1
    return hall.minimum_count(confidence, 1 - threshold) if threshold < 1 else None
