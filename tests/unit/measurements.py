"""Measurements as a suite's runner gives them."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.api.status import EvaluationSummary, MeanStatistics, Measurement


@dataclass(frozen=True)
class Estimate:
    """A mean on its metric's scale."""

    value: float | str
    error: float | str = 0.005
    count: int = 256
    skewness: float | str = 0.0


def row(metric: str, estimate: Estimate, suite: str = "fidelity", slice_: str | None = None) -> Measurement:
    """One number of one suite."""
    mean = MeanStatistics(
        value=str(estimate.value), standard_error=str(estimate.error), skewness=str(estimate.skewness)
    )
    return Measurement(suite=suite, metric=metric, slice=slice_, count=estimate.count, mean=mean)


def summary_of(*rows: Measurement) -> EvaluationSummary:
    """What an evaluation has measured."""
    return EvaluationSummary(measurements=list(rows), speed=[])
