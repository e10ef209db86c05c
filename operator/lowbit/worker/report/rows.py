"""Rows of the report from measurements: every number with its interval, and the counts of every class."""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.api.status import ClassCounts, Measurement, SpeedSummary
from lowbit.api.suites import metrics
from lowbit.api.suites.metric import Metric
from lowbit.api.suites.task_metrics import TASK_METRICS
from lowbit.gate.bounds import METHODS, Bounds, NotANumberError, NotMeasuredError, bounds
from lowbit.report.model import ClassRow, Confusion, MeasuredRow, SpeedRow

CONFIDENCE = 0.95
"""Confidence of the bounds in the report. The gate computes its own bounds, and may ask for more."""


def measured_rows(measurements: Sequence[Measurement], original: Sequence[Measurement]) -> list[MeasuredRow]:
    """Every measurement of a known metric, with the original's value."""
    before = {(row.suite, row.metric, row.slice): row for row in original}
    known = {metric.name: metric for metric in TASK_METRICS} | dict(metrics())
    return [
        measured_row(known[row.metric], row, before.get((row.suite, row.metric, row.slice)))
        for row in measurements
        if row.metric in known
    ]


def measured_row(metric: Metric, row: Measurement, original: Measurement | None) -> MeasuredRow:
    """One measurement."""
    found, missing = bounds_of(metric, row)
    return MeasuredRow(
        suite=row.suite,
        metric=row.metric,
        title=metric.title,
        meaning=metric.meaning,
        slice=row.slice,
        slice_kind=row.slice_kind,
        value=found.value if found else value_of(metric, row),
        lower=found.lower if found else None,
        upper=found.upper if found else None,
        standard_error=error_of(metric, row),
        original=value_of(metric, original) if original else None,
        count=row.count,
        unit=metric.unit,
        not_finite=row.not_finite,
        gated=metric.bound is not None,
        better=metric.better,
        missing=missing,
    )


def bounds_of(metric: Metric, row: Measurement) -> tuple[Bounds | None, str]:
    """The bounds, or why there are none."""
    if metric.bound is None or metric.bound not in METHODS:
        return None, ""
    try:
        return bounds(metric, row, CONFIDENCE), ""
    except (NotMeasuredError, NotANumberError) as error:
        return None, str(error)


def value_of(metric: Metric, row: Measurement) -> float | None:
    """The value on the metric's own scale; None if there is none."""
    if row.successes is not None:
        return row.successes / max(row.count, 1)
    return metric.of(row.estimate) if row.estimate is not None else None


def error_of(metric: Metric, row: Measurement) -> float | None:
    """The standard error, to first order on the metric's own scale."""
    value = value_of(metric, row)
    if row.mean is None or value is None:
        return None
    return float(row.mean.standard_error) * (value if metric.scale == "Logarithmic" else 1.0)


def class_rows(measurements: Sequence[Measurement]) -> list[ClassRow]:
    """What both models said of each class, once a class."""
    found = {(row.suite, row.slice): row.classes for row in measurements if row.classes is not None and row.slice}
    return [
        ClassRow(suite=suite, name=str(name), original=confusion(counts, "original_only"),
                 candidate=confusion(counts, "candidate_only"))
        for (suite, name), counts in found.items()
    ]  # fmt: skip


def confusion(counts: ClassCounts, alone: str) -> Confusion:
    """The counts of one model. alone: the field that has what only this model said."""
    other = "candidate_only" if alone == "original_only" else "original_only"
    yes, no = counts.of_class, counts.others
    return Confusion(
        true_positive=yes.both + getattr(yes, alone),
        false_negative=yes.neither + getattr(yes, other),
        false_positive=no.both + getattr(no, alone),
        true_negative=no.neither + getattr(no, other),
    )


def speed_rows(candidate: Sequence[SpeedSummary], original: Sequence[SpeedSummary]) -> list[SpeedRow]:
    """Both models beside each other, by concurrency."""
    before = {one.concurrency: one for one in original}
    rows = []
    for one in candidate:
        other = before.get(one.concurrency)
        rows.append(
            SpeedRow(
                concurrency=one.concurrency,
                tokens_per_second=float(one.tokens_per_second),
                first_token_seconds=float(one.time_to_first_token_seconds),
                original_tokens_per_second=float(other.tokens_per_second) if other else None,
                original_first_token_seconds=float(other.time_to_first_token_seconds) if other else None,
            )
        )
    return rows
