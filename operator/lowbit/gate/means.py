"""Bounds of means over independent units."""

from __future__ import annotations

from lowbit.api.status import Measurement
from lowbit.api.suites.metric import Metric
from lowbit.gate import hall
from lowbit.gate.measured import Bounds, Mean, check_count, on_scale, read_mean
from lowbit.gate.student_t import upper_quantile


def student_t(metric: Metric, measured: Measurement, confidence: float, _: float | None) -> Bounds:
    """Bounds of a mean over a few alike units, such as pairs of starts, by Student's t."""
    mean = read_mean(metric, measured)
    margin = upper_quantile(1 - confidence, mean.count - 1) * mean.error
    return on_scale(metric, mean, mean.value - margin, mean.value + margin)


def skewed(metric: Metric, measured: Measurement, confidence: float, _: float | None) -> Bounds:
    """Bounds of a mean over units of any shape, by Hall's correction; skewness never narrows one."""
    mean = read_mean(metric, measured)
    check_count(metric, measured, hall.minimum_count(confidence))
    return on_scale(metric, mean, *around(mean, confidence))


def around(mean: Mean, confidence: float) -> tuple[float, float]:
    """Hall's lower and upper bound, on the metric's scale."""
    upper = hall.upper(mean.value, mean.error, mean.skewness, mean.count, confidence)
    lower = -hall.upper(-mean.value, mean.error, -mean.skewness, mean.count, confidence)
    return lower, upper


def shielded(mean: Mean, confidence: float, threshold: float | None) -> tuple[float, float]:
    """Hall's lower and upper bound of a loss that is at most 1, with a guard on the upper one as in guarded()."""
    lower, upper = around(mean, confidence)
    if threshold is None:
        return lower, upper
    guard = max(mean.value, min(1.0, hall.guard_of(threshold, mean.count)))
    held = hall.guarded_upper(mean.value, mean.error, mean.skewness, mean.count, confidence, guard)
    return lower, max(upper, held)


def guarded(metric: Metric, measured: Measurement, confidence: float, threshold: float | None) -> Bounds:
    """Bounds of a mean of losses, which are seldom and then large: Hall's, with a guard on the side that passes.

    The guard is one more unit that is ten times as bad as the threshold, or worse among more than 256 units. Without a
    threshold there is none. A metric whose units may all be perfect has an error of 0 then.
    """
    mean = read_mean(metric, measured)
    check_count(metric, measured, hall.minimum_count(confidence))
    most = metric.greatest - metric.least
    higher = metric.better == "Higher"
    value, skewness = (metric.greatest - mean.value, -mean.skewness) if higher else (mean.value, mean.skewness)
    worst = hall.upper(value, mean.error, skewness, mean.count, confidence)
    if threshold is not None:
        loss = metric.greatest - threshold if higher else threshold
        guard = max(value, min(most, hall.guard_of(loss, mean.count)))
        worst = max(worst, hall.guarded_upper(value, mean.error, skewness, mean.count, confidence, guard))
    best = hall.lower(value, mean.error, skewness, mean.count, confidence)
    ends = (metric.greatest - worst, metric.greatest - best) if higher else (best, worst)
    return on_scale(metric, mean, *ends)


def minimum(_: Metric, confidence: float, __: float | None) -> int:
    """Units without which rare damage could go unseen."""
    return hall.minimum_count(confidence)
