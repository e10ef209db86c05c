"""Makes the rows that the gate judges."""

from __future__ import annotations

from lowbit.api.status import MeanStatistics, Measurement
from lowbit.api.suites.metric import Metric
from lowbit.gate.wording import number
from lowbit.worker.suites.scoring import Mean


def measurement(suite: str, metric: Metric, mean: Mean, slice_: str | None = None) -> Measurement:
    """A mean over independent units, on the metric's scale."""
    statistics = MeanStatistics(
        value=number(mean.value), standard_error=number(mean.standard_error), skewness=number(mean.skewness)
    )
    return Measurement(suite=suite, metric=metric.name, slice=slice_, count=mean.count, mean=statistics)
