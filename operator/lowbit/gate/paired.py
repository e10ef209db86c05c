"""Bounds of a loss that is paired unit by unit: the original's share of right answers less the candidate's."""

from __future__ import annotations

from lowbit.api.status import Measurement
from lowbit.api.suites.metric import Metric
from lowbit.gate import exact, hall
from lowbit.gate.means import shielded
from lowbit.gate.measured import (
    MINIMUM_COUNT,
    Bounds,
    NotMeasuredError,
    cells,
    check_count,
    check_sum,
    named,
    number,
    on_scale,
    read_mean,
)
from lowbit.gate.tango import score, tango

REPEATED = 100
"""Prompts that are answered several times each: with fewer, Hall's bound is not near enough."""
BESIDE = 1e-3
"""Where Tango's bound passes and the exact test does not, it is shown beyond the margin by this share of it."""


def paired(metric: Metric, measured: Measurement, confidence: float, threshold: float | None) -> Bounds:
    """Of yes or no: exact up to 1,000 units or without a loss, else Tango. Of prompts with several answers each: Hall.

    The exact test decides on which side of the threshold a bound lies. Apart from that, Tango's bounds are shown.
    """
    if measured.pairs is None:
        return repeated(metric, measured, confidence, threshold)
    counted = cells(measured.pairs)
    check_sum(metric, measured, counted)
    check_count(metric, measured, MINIMUM_COUNT)
    return of_counts(metric, measured, confidence, threshold, (counted[1], counted[2]))


def of_counts(
    metric: Metric, measured: Measurement, confidence: float, threshold: float | None, discordant: tuple[int, int]
) -> Bounds:
    """Bounds from the numbers of losses and gains."""
    (lost, gained), count = discordant, measured.count
    lower, upper = tango(lost, gained, count, confidence)
    if threshold is not None and -1 < threshold < 1 and (count <= exact.LARGEST or lost == 0):
        if score(lost, gained, count, threshold) <= 0:
            passes = exact.p_value(lost, gained, count, threshold) <= 1 - confidence
            upper = min(upper, threshold) if passes else max(upper, threshold + BESIDE * abs(threshold))
        else:
            fails = exact.p_value(gained, lost, count, -threshold) <= 1 - confidence
            lower = max(lower, threshold + BESIDE * abs(threshold)) if fails else min(lower, threshold)
    return Bounds((lost - gained) / count, max(metric.least, lower), min(metric.greatest, upper), count)


def repeated(metric: Metric, measured: Measurement, confidence: float, threshold: float | None) -> Bounds:
    """Bounds of the mean over prompts of each one's mean loss, with a guard: one more prompt that loses much."""
    mean = measured.mean
    if mean is None:
        raise NotMeasuredError(f"{named(metric, measured)} was not measured")
    check_count(metric, measured, max(REPEATED, minimum(metric, confidence, threshold)))
    if number(mean.value) == 0 and number(mean.standard_error) == 0:  # no prompt of any is worse, and none better
        return of_counts(metric, measured, confidence, threshold, (0, 0))
    read = read_mean(metric, measured)
    return on_scale(metric, read, *shielded(read, confidence, threshold))


def minimum(_: Metric, confidence: float, margin: float | None) -> int:
    """Units without which an equal candidate does not pass: among fewer, a loss of the margin could go unseen."""
    if margin is None or not 0 < margin < 1:
        return MINIMUM_COUNT
    return max(MINIMUM_COUNT, hall.minimum_count(confidence, margin))
