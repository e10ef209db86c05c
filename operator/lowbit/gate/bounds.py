"""From a measured value and its standard error to one-sided confidence bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, exp, inf, isfinite, isnan, log
from statistics import NormalDist

from lowbit.api.evaluation import Metric
from lowbit.api.status import Estimate, FidelitySummary
from lowbit.gate.student_t import upper_quantile

MINIMUM_COUNT = 2
"""Fewer independent texts have no standard error."""
POWER = 0.8
"""Chance of a clear verdict that the estimate of the needed texts aims at."""


@dataclass(frozen=True)
class Bounds:
    """A metric with its bounds; lower and upper each hold with the one-sided confidence that was asked for."""

    value: float
    lower: float
    upper: float
    count: int


class NotMeasuredError(Exception):
    """There is no usable estimate: too few texts, or nothing that can be read. Says why, for people."""


class NotANumberError(Exception):
    """What was measured is no possible value of the metric. Says what it is, for people."""


def _identity(value: float) -> float:
    return value


def _exp(value: float) -> float:
    try:
        return exp(value)
    except OverflowError:
        return inf


def _log(value: float) -> float:
    return log(value) if value > 0 else -inf


@dataclass(frozen=True)
class Scale:
    """How a metric is estimated: on which field, on which scale the error is symmetric, and where its values end."""

    field: Callable[[FidelitySummary], Estimate | None]
    to_metric: Callable[[float], float]
    from_metric: Callable[[float], float]
    least: float
    greatest: float


SCALES: dict[Metric, Scale] = {
    "KLDivergence": Scale(lambda s: s.kl_divergence, _identity, _identity, 0.0, inf),
    "PerplexityRatio": Scale(lambda s: s.log_perplexity_ratio, _exp, _log, 0.0, inf),
    "Top1Agreement": Scale(lambda s: s.top1_agreement, _identity, _identity, 0.0, 1.0),
}


def bounds(metric: Metric, summary: FidelitySummary, confidence: float) -> Bounds:
    """One-sided bounds by Student's t over texts. Raises NotMeasuredError, or NotANumberError; both mean: never passed."""
    scale = SCALES[metric]
    estimate = scale.field(summary)
    if estimate is None:
        raise NotMeasuredError(f"{metric} was not measured")
    value, error = _number(estimate.value), _number(estimate.standard_error)
    on_metric = scale.to_metric(value)
    if isnan(value) or not scale.least <= on_metric <= scale.greatest:
        raise NotANumberError(f"{metric} came out as {estimate.value}, which it cannot be")
    if estimate.count < MINIMUM_COUNT:
        raise NotMeasuredError(
            f"{metric} rests on {estimate.count} text{'s' if estimate.count != 1 else ''}, and needs {MINIMUM_COUNT}"
        )
    if not isfinite(error) or error < 0:
        raise NotMeasuredError(f"{metric} has no standard error ({estimate.standard_error})")
    margin = upper_quantile(1 - confidence, estimate.count - 1) * error
    return Bounds(
        value=on_metric,
        lower=max(scale.least, scale.to_metric(value - margin)),
        upper=min(scale.greatest, scale.to_metric(value + margin)),
        count=estimate.count,
    )


def needed_count(metric: Metric, summary: FidelitySummary, threshold: float, confidence: float) -> int | None:
    """About how many texts give a clear verdict with a chance of POWER, if the measured value is the true one.

    None where no number of texts would: the value lies on the threshold.
    """
    scale = SCALES[metric]
    estimate = scale.field(summary)
    if estimate is None:
        return None
    distance = abs(_number(estimate.value) - scale.from_metric(threshold))
    spread = _number(estimate.standard_error) * estimate.count**0.5
    if not isfinite(distance) or not isfinite(spread) or distance == 0:
        return None
    normal = NormalDist()
    deviations = normal.inv_cdf(confidence) + normal.inv_cdf(POWER)
    root = deviations * spread / distance
    needed = root * root  # a product may be infinite, where a power would raise
    return max(estimate.count + 1, ceil(needed)) if isfinite(needed) else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
