"""Makes the rows that the gate judges."""

from __future__ import annotations

from typing import NamedTuple

from lowbit.api.status import MeanStatistics, Measurement, SliceKind
from lowbit.api.suites.metric import Metric
from lowbit.gate.wording import number
from lowbit.worker.suites.scoring import Mean


class Slice(NamedTuple):
    """A part of what was measured."""

    name: str
    kind: SliceKind


def measurement(suite: str, metric: Metric, mean: Mean, slice_: Slice | None = None) -> Measurement:
    """A mean over independent units, on the metric's scale."""
    statistics = MeanStatistics(
        value=number(mean.value), standard_error=number(mean.standard_error), skewness=number(mean.skewness)
    )
    name, kind = slice_ or (None, None)
    return Measurement(
        suite=suite, metric=metric.name, slice=name, slice_kind=kind, count=mean.count, mean=statistics
    )  # fmt: skip


def unmeasured(suite: str, metric: Metric, count: int, broken: int) -> Measurement:
    """A metric that has no value, because a model gave numbers that are not finite: broken of them."""
    nothing = MeanStatistics(value="NaN", standard_error="NaN")
    return Measurement(suite=suite, metric=metric.name, count=count, not_finite=broken, mean=nothing)
