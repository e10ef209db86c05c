"""Bounds from the quantiles of a bootstrap distribution."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite

from lowbit.api.status import Measurement
from lowbit.api.suites.metric import Metric
from lowbit.gate.measured import MINIMUM_COUNT, Bounds, NotANumberError, NotMeasuredError, check_count, named, number


def bootstrap(metric: Metric, measured: Measurement, confidence: float, _: float | None) -> Bounds:
    """The quantiles of a bootstrap distribution at 1 - confidence and at confidence."""
    found, name = measured.quantiles, named(metric, measured)
    if found is None:
        raise NotMeasuredError(f"{name} was not measured")
    grid = [(number(p), metric.of(number(v))) for p, v in zip(found.probabilities, found.values, strict=False)]
    value = metric.of(number(found.value))
    whole = len(found.probabilities) == len(found.values) and _rises(grid)
    # The value lies among its own quantiles, and all of them in the metric's range.
    if not whole or not metric.least <= grid[0][1] <= value <= grid[-1][1] <= metric.greatest:
        raise NotANumberError(f"{name} came out as {found.value}, with quantiles that it cannot have")
    check_count(metric, measured, MINIMUM_COUNT)
    if not grid[0][0] <= 1 - confidence <= confidence <= grid[-1][0]:
        raise NotMeasuredError(f"{name} has no quantiles for a confidence of {confidence:g}")
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
