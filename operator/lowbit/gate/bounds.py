"""From what was measured to one-sided confidence bounds: the methods by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil, isfinite
from statistics import NormalDist
from typing import Final

from lowbit.api.status import Measurement
from lowbit.api.suites.metric import Metric
from lowbit.gate import means, paired, proportion, ratios
from lowbit.gate.bootstrap import bootstrap
from lowbit.gate.measured import MINIMUM_COUNT, Bounds, NotANumberError, NotMeasuredError, named, number

__all__ = ["METHODS", "Bounds", "NotANumberError", "NotMeasuredError", "bounds", "minimum_count", "needed_count"]

POWER = 0.8
"""Chance of a clear verdict that the estimate of the needed units aims at."""

Method = Callable[[Metric, Measurement, float, float | None], Bounds]
"""From a metric, its measurement, a one-sided confidence and the threshold, if any."""
METHODS: Final[Mapping[str, Method]] = {
    "StudentT": means.student_t,
    "Hall": means.skewed,
    "GuardedHall": means.guarded,
    "Paired": paired.paired,
    "Proportion": proportion.proportion,
    "ClassPrecision": ratios.precision_loss,
    "ClassF1": ratios.f1_loss,
    "Bootstrap": bootstrap,
}
"""How bounds are computed, by the name that a metric declares."""

Minimum = Callable[[Metric, float, float | None], int | None]
"""From a metric, a one-sided confidence and the threshold, if any."""
MINIMA: Final[Mapping[str, Minimum]] = {
    "Hall": means.minimum,
    "GuardedHall": means.minimum,
    "Paired": paired.minimum,
    "Proportion": proportion.minimum,
    "ClassPrecision": ratios.minimum_of_precision,
    "ClassF1": ratios.minimum_of_f1,
}
"""Methods with which even an equal candidate needs as many units as these."""


def bounds(metric: Metric, measured: Measurement, confidence: float, threshold: float | None = None) -> Bounds:
    """One-sided bounds. threshold: what they are held against, if anything; some bounds depend on it.

    Raises NotMeasuredError or NotANumberError; after either the gate cannot pass.
    """
    if metric.bound is None:
        raise NotMeasuredError(f"{metric.name} is only reported")
    if measured.not_finite:
        raise NotANumberError(
            f"{named(metric, measured)} has no value: {measured.not_finite} of the numbers that the engine gave are "
            "not finite (NaN or infinite)"
        )
    return METHODS[metric.bound](metric, measured, confidence, threshold)


def minimum_count(metric: Metric, confidence: float, threshold: float | None = None) -> int | None:
    """Units without which not even an equal candidate passes at this confidence; None if no number would do.

    For precision and F1 these are units of the class, and as many answers with it.
    """
    minimum = MINIMA.get(metric.bound or "")
    return minimum(metric, confidence, threshold) if minimum is not None else MINIMUM_COUNT


def needed_count(metric: Metric, measured: Measurement, threshold: float, confidence: float) -> int | None:
    """Number of units that give a clear verdict with probability POWER, if the measured value is the true one.

    None if no number of units would, because the value lies on the threshold.
    """
    mean, normal = measured.mean, NormalDist()
    if mean is not None and number(mean.standard_error) != 0:
        distance, error = abs(number(mean.value) - metric.estimate(threshold)), number(mean.standard_error)
    else:
        found = bounds(metric, measured, confidence)
        distance, error = abs(found.value - threshold), (found.upper - found.lower) / 2 / normal.inv_cdf(confidence)
    spread = error * measured.count**0.5
    if not isfinite(distance) or not isfinite(spread) or distance == 0:
        return None
    deviations = normal.inv_cdf(confidence) + normal.inv_cdf(POWER)
    root = deviations * spread / distance
    needed = root * root  # a product may be infinite, where a power would raise
    return max(measured.count + 1, ceil(needed)) if isfinite(needed) else None
