"""Candidates beside each other and the original: their sizes, and what was measured of each, with its bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite, isnan, nan

from lowbit.api.documents import EvaluateDocument, OtherCandidate
from lowbit.api.status import Measurement, SpeedSummary
from lowbit.api.suites import metrics
from lowbit.gate.bounds import NotANumberError, NotMeasuredError, bounds
from lowbit.report.words import NONE, size
from lowbit.worker.evaluate.stored import Asked, StoredResult, find_result
from lowbit.worker.report import interval_plot
from lowbit.worker.report.rows import CONFIDENCE
from lowbit.worker.store import Store
from lowbit.worker.suites import Section


@dataclass(frozen=True)
class Interval:
    """A measured value with its one-sided bounds."""

    value: float
    lower: float
    upper: float

    @property
    def words(self) -> str:
        """0.112 [0.09, 0.131]; the value alone where there are no bounds."""
        if isnan(self.lower) or isnan(self.upper):
            return f"{self.value:.3g}"
        return f"{self.value:.3g} [{self.lower:.3g}, {self.upper:.3g}]"


@dataclass(frozen=True)
class ComparedRow:
    """The original or one candidate."""

    name: str
    bytes: int
    measured: dict[str, Interval] = field(default_factory=dict)
    """By what was measured (suite, metric and slice, in words); empty for the original."""
    verdict: str = NONE
    speed: Sequence[SpeedSummary] = ()
    present: bool = False
    """It is the candidate that the report is about."""


def rows_of(
    document: EvaluateDocument, store: Store, result: StoredResult, baseline: StoredResult | None
) -> list[ComparedRow]:
    """The original, the candidates that were judged before, and this one; empty if there are no others.

    A result that the store lacks, or that is of something else, is left out: the report decides nothing.
    """
    if not document.others:
        return []
    original = baseline.summary.speed if baseline is not None else ()
    found = [ComparedRow("original", document.source_bytes, speed=original)]
    for other in document.others:
        seen = find_result(store, _asked(document, other))
        if seen is not None:
            measured = intervals(seen.summary.measurements)
            found.append(ComparedRow(other.name, other.bytes, measured, other.verdict, seen.summary.speed))
    own = intervals(result.summary.measurements)
    name = document.candidate or document.evaluation
    files = store.file_list("artifacts", document.model.digest)
    return [*found, ComparedRow(name, files.size if files else 0, own, speed=result.summary.speed, present=True)]


def _asked(document: EvaluateDocument, other: OtherCandidate) -> Asked:
    own = Asked.by_document(document)
    return Asked(other.evaluation, other.model, own.protocol_key, other.runtime_key, own.baseline)


def intervals(measurements: Sequence[Measurement]) -> dict[str, Interval]:
    """What a gate may ask for, of whole suites and tasks, by name and metric. Bounds are NaN where there are none."""
    known, found = metrics(), {}
    for row in measurements:
        metric = known.get(row.metric)
        if metric is None or metric.bound is None or not row.whole:
            continue
        try:
            bounded = bounds(metric, row, CONFIDENCE)
            shown = Interval(bounded.value, bounded.lower, bounded.upper)
        except NotMeasuredError:
            shown = Interval(metric.of(row.estimate) if row.estimate is not None else nan, nan, nan)
        except NotANumberError:
            continue
        if isfinite(shown.value):
            found[f"{row.whole_name}: {metric.title}"] = shown
    return found


def sections(rows: Sequence[ComparedRow]) -> list[Section]:
    """One table of all, and a chart of size against each thing that was measured."""
    if not rows:
        return []
    measured = list(dict.fromkeys(name for row in rows for name in row.measured))
    table = Section(
        title="All candidates",
        text="The original and every candidate that was judged before this one. In brackets: one-sided 95 % bounds.",
        header=["", "size", "original / size", "verdict", *measured, "tokens/s one by one", "tokens/s together"],
        rows=[_cells(row, rows[0].bytes, measured) for row in rows],
    )
    charts = [
        Section(title=name, text=f"Size of the files against {name}, with its bounds.", plot=chart(name, rows))
        for name in measured
    ]
    return [table, *charts]


def _cells(row: ComparedRow, original: int, measured: Sequence[str]) -> list[str]:
    speeds = sorted(row.speed, key=lambda one: one.concurrency)
    ends = [speeds[0].tokens_per_second, speeds[-1].tokens_per_second] if speeds else [NONE, NONE]
    values = [row.measured[name].words if name in row.measured else NONE for name in measured]
    ratio = f"{original / row.bytes:.2f}" if row.bytes else NONE
    name = f"{row.name} (this report)" if row.present else row.name
    return [name, size(row.bytes) if row.bytes else NONE, ratio, row.verdict, *values, *ends]


def chart(name: str, rows: Sequence[ComparedRow]) -> str:
    """Size against one measured value, with its bounds; a mark at the original's size."""
    points = [
        interval_plot.Interval(row.name, row.bytes / 1e9, *_ends(row.measured[name]))
        for row in rows
        if name in row.measured and row.bytes
    ]
    return interval_plot.intervals(points, "size in GB", name, ("original", rows[0].bytes / 1e9))


def _ends(found: Interval) -> tuple[float, float, float]:
    return found.value, found.lower, found.upper
