"""From a measured value and its standard error to one-sided confidence bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, isfinite, isnan
from statistics import NormalDist
from typing import Final

from lowbit.api.status import Measurement
from lowbit.api.suites.metric import Metric
from lowbit.gate.student_t import upper_quantile

MINIMUM_COUNT = 2
"""Fewer independent units have no standard error."""
POWER = 0.8
"""Chance of a clear verdict that the estimate of the needed units aims at."""


@dataclass(frozen=True)
class Bounds:
    """A metric with its bounds; lower and upper each hold with the one-sided confidence that was asked for."""

    value: float
    lower: float
    upper: float
    count: int


class NotMeasuredError(Exception):
    """There is no usable estimate: too few units, or unreadable numbers. Says why, for people."""


class NotANumberError(Exception):
    """The measured value is impossible for the metric. Says what it is, for people."""


def bounds(metric: Metric, measured: Measurement, confidence: float) -> Bounds:
    """One-sided bounds. Raises NotMeasuredError or NotANumberError; after either the gate cannot pass."""
    if metric.bound is None:
        raise NotMeasuredError(f"{metric.name} is only reported")
    return METHODS[metric.bound](metric, measured, confidence)


def student_t(metric: Metric, measured: Measurement, confidence: float) -> Bounds:
    """Bounds of a mean over independent units, by Student's t."""
    mean = measured.mean
    if mean is None:
        raise NotMeasuredError(f"{metric.name} was not measured")
    value, error = _number(mean.value), _number(mean.standard_error)
    on_metric = metric.of(value)
    if isnan(value) or not metric.least <= on_metric <= metric.greatest:
        raise NotANumberError(f"{metric.name} came out as {mean.value}, which it cannot be")
    if measured.count < MINIMUM_COUNT:
        units = f"{measured.count} {metric.unit}{'s' if measured.count != 1 else ''}"
        raise NotMeasuredError(f"{metric.name} rests on {units}, and needs {MINIMUM_COUNT}")
    if not isfinite(error) or error < 0:
        raise NotMeasuredError(f"{metric.name} has no standard error ({mean.standard_error})")
    margin = upper_quantile(1 - confidence, measured.count - 1) * error
    return Bounds(
        value=on_metric,
        lower=max(metric.least, metric.of(value - margin)),
        upper=min(metric.greatest, metric.of(value + margin)),
        count=measured.count,
    )


METHODS: Final[Mapping[str, Callable[[Metric, Measurement, float], Bounds]]] = {"StudentT": student_t}
"""How bounds are computed, by the name that a metric declares."""


def needed_count(metric: Metric, measured: Measurement, threshold: float, confidence: float) -> int | None:
    """Number of units that give a clear verdict with probability POWER, if the measured value is the true one.

    None if no number of units would, because the value lies on the threshold.
    """
    mean = measured.mean
    if mean is None:
        return None
    distance = abs(_number(mean.value) - metric.estimate(threshold))
    spread = _number(mean.standard_error) * measured.count**0.5
    if not isfinite(distance) or not isfinite(spread) or distance == 0:
        return None
    normal = NormalDist()
    deviations = normal.inv_cdf(confidence) + normal.inv_cdf(POWER)
    root = deviations * spread / distance
    needed = root * root  # a product may be infinite, where a power would raise
    return max(measured.count + 1, ceil(needed)) if isfinite(needed) else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
