"""From a measured value and its standard error to one-sided confidence bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, isfinite, isnan
from statistics import NormalDist
from typing import Final

from lowbit.api.status import Measurement
from lowbit.api.suites.metric import Metric
from lowbit.gate.student_t import upper_quantile
from lowbit.gate.tango import tango

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
        raise too_few(metric, measured)
    if not isfinite(error) or error < 0:
        raise NotMeasuredError(f"{metric.name} has no standard error ({mean.standard_error})")
    margin = upper_quantile(1 - confidence, measured.count - 1) * error
    return Bounds(
        value=on_metric,
        lower=max(metric.least, metric.of(value - margin)),
        upper=min(metric.greatest, metric.of(value + margin)),
        count=measured.count,
    )


def paired(metric: Metric, measured: Measurement, confidence: float) -> Bounds:
    """Of the original's share less the candidate's, by Tango's score interval. A maximum is a margin."""
    counts = measured.pairs
    if counts is None:
        raise NotMeasuredError(f"{metric.name} was not measured")
    cells = (counts.both, counts.original_only, counts.candidate_only, counts.neither)
    if min(cells) < 0 or sum(cells) != measured.count:
        raise NotANumberError(f"{metric.name} came out as counts that do not add up ({cells} of {measured.count})")
    if measured.count < MINIMUM_COUNT:
        raise too_few(metric, measured)
    difference = (counts.original_only - counts.candidate_only) / measured.count
    lower, upper = tango(counts.original_only, counts.candidate_only, measured.count, confidence)
    return Bounds(difference, max(metric.least, lower), min(metric.greatest, upper), measured.count)


def bootstrap(metric: Metric, measured: Measurement, confidence: float) -> Bounds:
    """The quantiles of a bootstrap distribution at 1 - confidence and at confidence."""
    found = measured.quantiles
    if found is None:
        raise NotMeasuredError(f"{metric.name} was not measured")
    grid = [(_number(p), metric.of(_number(v))) for p, v in zip(found.probabilities, found.values, strict=False)]
    value = metric.of(_number(found.value))
    whole = len(found.probabilities) == len(found.values) and _rises(grid)
    # The value lies among its own quantiles, and all of them in the metric's range.
    if not whole or not metric.least <= grid[0][1] <= value <= grid[-1][1] <= metric.greatest:
        raise NotANumberError(f"{metric.name} came out as {found.value}, with quantiles that it cannot have")
    if measured.count < MINIMUM_COUNT:
        raise too_few(metric, measured)
    if not grid[0][0] <= 1 - confidence <= confidence <= grid[-1][0]:
        raise NotMeasuredError(f"{metric.name} has no quantiles for a confidence of {confidence:g}")
    lower, upper = (_interpolated(grid, at) for at in (1 - confidence, confidence))
    return Bounds(value, max(metric.least, lower), min(metric.greatest, upper), measured.count)


def _rises(grid: Sequence[tuple[float, float]]) -> bool:
    """Whether there are points, both coordinates are numbers, and neither ever falls."""
    numbers = all(isfinite(each) for point in grid for each in point)
    return bool(grid) and numbers and all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(grid))


def _interpolated(grid: Sequence[tuple[float, float]], at: float) -> float:
    for (left, low), (right, high) in pairwise(grid):
        if left <= at <= right:
            return low + (high - low) * (at - left) / (right - left)
    return grid[0][1]


def too_few(metric: Metric, measured: Measurement) -> NotMeasuredError:
    """There are not enough units for any bound."""
    units = f"{measured.count} {metric.unit}{'s' if measured.count != 1 else ''}"
    return NotMeasuredError(f"{metric.name} rests on {units}, and needs {MINIMUM_COUNT}")


METHODS: Final[Mapping[str, Callable[[Metric, Measurement, float], Bounds]]] = {
    "StudentT": student_t,
    "Tango": paired,
    "Bootstrap": bootstrap,
}
"""How bounds are computed, by the name that a metric declares."""


def needed_count(metric: Metric, measured: Measurement, threshold: float, confidence: float) -> int | None:
    """Number of units that give a clear verdict with probability POWER, if the measured value is the true one.

    None if no number of units would, because the value lies on the threshold.
    """
    mean, normal = measured.mean, NormalDist()
    if mean is not None:
        distance, error = abs(_number(mean.value) - metric.estimate(threshold)), _number(mean.standard_error)
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


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
