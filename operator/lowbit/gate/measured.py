"""What a suite measured, read and checked, and what bounds are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, isnan

from lowbit.api.status import Measurement, PairedCounts
from lowbit.api.suites.metric import Metric

MINIMUM_COUNT = 2
"""Fewer independent units have no standard error."""


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


@dataclass(frozen=True)
class Mean:
    """A mean over independent units, on its metric's scale."""

    value: float
    error: float
    skewness: float
    count: int


def read_mean(metric: Metric, measured: Measurement) -> Mean:
    """The mean that was measured. Raises NotMeasuredError or NotANumberError."""
    mean, name = measured.mean, named(metric, measured)
    if mean is None:
        raise NotMeasuredError(f"{name} was not measured")
    value, error, skewness = number(mean.value), number(mean.standard_error), number(mean.skewness)
    if isnan(value) or not metric.least <= metric.of(value) <= metric.greatest:
        raise NotANumberError(f"{name} came out as {mean.value}, which it cannot be")
    check_count(metric, measured, MINIMUM_COUNT)
    if not isfinite(error) or error < 0:
        raise NotMeasuredError(f"{name} has no standard error ({mean.standard_error})")
    perfect = metric.perfect and metric.of(value) == (metric.greatest if metric.better == "Higher" else metric.least)
    if error == 0 and not perfect:
        raise NotMeasuredError(
            f"{name} is {mean.value} in each of {measured.count} {metric.unit}s, which no measurement is"
        )
    if metric.bound != "StudentT" and not isfinite(skewness) and error > 0:
        raise NotMeasuredError(f"{name} has no skewness ({mean.skewness})")
    return Mean(value, error, skewness if isfinite(skewness) else 0.0, measured.count)


def on_scale(metric: Metric, mean: Mean, lower: float, upper: float) -> Bounds:
    """The bounds as values of the metric, which has ends."""
    return Bounds(
        value=metric.of(mean.value),
        lower=max(metric.least, metric.of(lower)),
        upper=min(metric.greatest, metric.of(upper)),
        count=mean.count,
    )


def cells(counts: PairedCounts) -> tuple[int, int, int, int]:
    """Units that both got right, only the original, only the candidate, and neither."""
    return counts.both, counts.original_only, counts.candidate_only, counts.neither


def check_sum(metric: Metric, measured: Measurement, counted: Sequence[int]) -> None:
    """Raises NotANumberError if counts do not add up to the measurement's."""
    if min(counted) < 0 or sum(counted) != measured.count:
        raise NotANumberError(
            f"{named(metric, measured)} came out as counts that do not add up ({tuple(counted)} of {measured.count})"
        )


def check_count(metric: Metric, measured: Measurement, needed: int) -> None:
    """Raises NotMeasuredError if there are fewer units than needed."""
    if measured.count < needed:
        units = f"{measured.count} {metric.unit}{'s' if measured.count != 1 else ''}"
        raise NotMeasuredError(f"{named(metric, measured)} rests on {units}, and needs {needed}")


def named(metric: Metric, measured: Measurement) -> str:
    """What was measured, for people: RecallLoss of class fraud."""
    return metric.name + of_slice(measured)


def of_slice(measured: Measurement) -> str:
    """Which part of the suite a row is of, to follow a name: " of class fraud"."""
    if measured.slice is None:
        return ""
    return f" of {(measured.slice_kind or 'slice').lower()} {measured.slice}"


def number(text: str) -> float:
    """A number as it is written into status; NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
