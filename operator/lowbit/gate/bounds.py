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
from lowbit.gate import hall
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


def bounds(metric: Metric, measured: Measurement, confidence: float, threshold: float | None = None) -> Bounds:
    """One-sided bounds. threshold: what they are held against, if anything; some bounds depend on it.

    Raises NotMeasuredError or NotANumberError; after either the gate cannot pass.
    """
    if metric.bound is None:
        raise NotMeasuredError(f"{metric.name} is only reported")
    if measured.not_finite:
        raise NotANumberError(
            f"{metric.name} has no value: {measured.not_finite} of the numbers that the engine gave are not finite "
            "(NaN or infinite)"
        )
    return METHODS[metric.bound](metric, measured, confidence, threshold)


@dataclass(frozen=True)
class Mean:
    """A mean over independent units, on its metric's scale."""

    value: float
    error: float
    skewness: float
    count: int


def student_t(metric: Metric, measured: Measurement, confidence: float, _: float | None) -> Bounds:
    """Bounds of a mean over a few alike units, such as pairs of starts, by Student's t."""
    mean = read_mean(metric, measured)
    if mean.count < MINIMUM_COUNT:
        raise too_few(metric, measured, MINIMUM_COUNT)
    margin = upper_quantile(1 - confidence, mean.count - 1) * mean.error
    return on_scale(metric, mean, mean.value - margin, mean.value + margin)


def skewed(metric: Metric, measured: Measurement, confidence: float, _: float | None) -> Bounds:
    """Bounds of a mean over units of any shape, by Hall's correction; skewness never narrows one."""
    mean = read_mean(metric, measured)
    check_count(metric, measured, confidence)
    upper = hall.upper(mean.value, mean.error, mean.skewness, mean.count, confidence)
    lower = -hall.upper(-mean.value, mean.error, -mean.skewness, mean.count, confidence)
    return on_scale(metric, mean, lower, upper)


def guarded(metric: Metric, measured: Measurement, confidence: float, threshold: float | None) -> Bounds:
    """Bounds of a mean of losses, which are seldom and then large: Hall's, with a guard on the side that passes.

    The guard is one more unit that is ten times as bad as the threshold. Without a threshold there is none. A metric
    whose units may all be perfect has an error of 0 then.
    """
    mean = read_mean(metric, measured)
    check_count(metric, measured, confidence)
    most = metric.greatest - metric.least
    higher = metric.better == "Higher"
    value, skewness = (metric.greatest - mean.value, -mean.skewness) if higher else (mean.value, mean.skewness)
    worst = hall.upper(value, mean.error, skewness, mean.count, confidence)
    if threshold is not None:
        loss = metric.greatest - threshold if higher else threshold
        guard = max(value, min(most, hall.GUARD * loss))
        worst = max(worst, hall.guarded_upper(value, mean.error, skewness, mean.count, confidence, guard))
    best = hall.lower(value, mean.error, skewness, mean.count, confidence)
    ends = (metric.greatest - worst, metric.greatest - best) if higher else (best, worst)
    return on_scale(metric, mean, *ends)


def read_mean(metric: Metric, measured: Measurement) -> Mean:
    """The mean that was measured. Raises NotMeasuredError or NotANumberError."""
    mean = measured.mean
    if mean is None:
        raise NotMeasuredError(f"{metric.name} was not measured")
    value, error, skewness = _number(mean.value), _number(mean.standard_error), _number(mean.skewness)
    if isnan(value) or not metric.least <= metric.of(value) <= metric.greatest:
        raise NotANumberError(f"{metric.name} came out as {mean.value}, which it cannot be")
    if measured.count < MINIMUM_COUNT:
        raise too_few(metric, measured, MINIMUM_COUNT)
    if not isfinite(error) or error < 0:
        raise NotMeasuredError(f"{metric.name} has no standard error ({mean.standard_error})")
    perfect = metric.perfect and metric.of(value) == (metric.greatest if metric.better == "Higher" else metric.least)
    if error == 0 and not perfect:
        raise NotMeasuredError(
            f"{metric.name} is {mean.value} in each of {measured.count} {metric.unit}s, which no measurement is"
        )
    if metric.bound != "StudentT" and not isfinite(skewness) and error > 0:
        raise NotMeasuredError(f"{metric.name} has no skewness ({mean.skewness})")
    return Mean(value, error, skewness if isfinite(skewness) else 0.0, measured.count)


def on_scale(metric: Metric, mean: Mean, lower: float, upper: float) -> Bounds:
    """The bounds as values of the metric, which has ends."""
    return Bounds(
        value=metric.of(mean.value),
        lower=max(metric.least, metric.of(lower)),
        upper=min(metric.greatest, metric.of(upper)),
        count=mean.count,
    )


def paired(metric: Metric, measured: Measurement, confidence: float, _: float | None) -> Bounds:
    """Of the original's share less the candidate's, by Tango's score interval. A maximum is a margin."""
    counts = measured.pairs
    if counts is None:
        raise NotMeasuredError(f"{metric.name} was not measured")
    cells = (counts.both, counts.original_only, counts.candidate_only, counts.neither)
    if min(cells) < 0 or sum(cells) != measured.count:
        raise NotANumberError(f"{metric.name} came out as counts that do not add up ({cells} of {measured.count})")
    if measured.count < MINIMUM_COUNT:
        raise too_few(metric, measured, MINIMUM_COUNT)
    difference = (counts.original_only - counts.candidate_only) / measured.count
    lower, upper = tango(counts.original_only, counts.candidate_only, measured.count, confidence)
    return Bounds(difference, max(metric.least, lower), min(metric.greatest, upper), measured.count)


def not_yet(metric: Metric, _: Measurement, __: float, ___: float | None) -> Bounds:
    """No bounds: nothing passes by it."""
    raise NotMeasuredError(f"{metric.name} has no bounds yet")


def bootstrap(metric: Metric, measured: Measurement, confidence: float, _: float | None) -> Bounds:
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
        raise too_few(metric, measured, MINIMUM_COUNT)
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


def check_count(metric: Metric, measured: Measurement, confidence: float) -> None:
    """Raises NotMeasuredError if rare damage could go unseen among so few units."""
    needed = hall.minimum_count(confidence)
    if measured.count < needed:
        raise too_few(metric, measured, needed)


def too_few(metric: Metric, measured: Measurement, needed: int) -> NotMeasuredError:
    """There are not enough units for a bound."""
    units = f"{measured.count} {metric.unit}{'s' if measured.count != 1 else ''}"
    return NotMeasuredError(f"{metric.name} rests on {units}, and needs {needed}")


Method = Callable[[Metric, Measurement, float, float | None], Bounds]
"""From a metric, its measurement, a one-sided confidence and the threshold, if any."""
METHODS: Final[Mapping[str, Method]] = {
    "StudentT": student_t,
    "Hall": skewed,
    "GuardedHall": guarded,
    "Tango": paired,
    "Paired": paired,
    "Proportion": not_yet,
    "Bootstrap": bootstrap,
}
"""How bounds are computed, by the name that a metric declares."""
COUNTED: Final = frozenset({"Hall", "GuardedHall"})
"""Methods that need as many units as show rare damage."""


def minimum_count(metric: Metric, confidence: float) -> int:
    """Fewer units than these give no verdict at this confidence."""
    return hall.minimum_count(confidence) if metric.bound in COUNTED else MINIMUM_COUNT


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
