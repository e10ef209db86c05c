"""One threshold of one suite, held against the rows that it is about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lowbit.api.evaluation import MaximumThreshold, MinimumThreshold, NonInferiorityThreshold
from lowbit.api.status import GateCheck, Measurement, Verdict
from lowbit.api.suites import metrics
from lowbit.api.suites.metric import Metric
from lowbit.api.suites.task_metrics import TASK_METRICS
from lowbit.gate import wording
from lowbit.gate.bounds import Bounds, NotANumberError, NotMeasuredError, bounds, minimum_count, needed_count
from lowbit.gate.looks import at_look
from lowbit.gate.measured import of_slice
from lowbit.gate.wording import Needed, Side

Threshold = MaximumThreshold | MinimumThreshold | NonInferiorityThreshold

LEAST_CONFIDENCE = 0.8
"""Less is no evidence: a coin has one half."""
UNKNOWN = "NaN"
"""A check's value where there is no number."""


@dataclass(frozen=True)
class Question:
    """One threshold of one suite, and the row that it is held against."""

    suite: str
    metric: Metric
    """What the gate names."""
    measured: Metric
    """What is held against the threshold: the metric, or its loss."""
    bound: Literal["Maximum", "Minimum", "NonInferiority"]
    threshold: str
    per_class: bool
    several: bool
    """Whether there are other suites, so that a message must name this one."""
    row: Measurement | None = None

    @property
    def name(self) -> str:
        """What is judged, for people."""
        part = of_slice(self.row) if self.row is not None else ""
        return self.metric.name + part + (f" of suite {self.suite}" if self.several else "")


def question(suite: str, threshold: Threshold, several: bool) -> Question:
    """What a threshold asks."""
    known = {metric.name: metric for metric in TASK_METRICS} | dict(metrics())
    metric, per_class = known[threshold.metric], threshold.per_class
    if isinstance(threshold, NonInferiorityThreshold):
        loss = known[metric.loss or metric.name]
        return Question(suite, metric, loss, "NonInferiority", threshold.margin, per_class, several)
    bound: Literal["Maximum", "Minimum"] = "Maximum" if isinstance(threshold, MaximumThreshold) else "Minimum"
    return Question(suite, metric, metric, bound, threshold.value, per_class, several)


def judge_question(asked: Question, rows: Sequence[Measurement], error: float) -> Iterator[GateCheck]:
    """One check for each row that the threshold is about; one that never passes if there is none.

    rows: the suite's. error: of the suite's gate, divided over candidates.
    """
    own = [row for row in rows if row.metric == asked.measured.name]
    if asked.per_class:
        about = [row for row in own if row.slice_kind == "Class"]
    else:
        about = [row for row in own if row.slice is None] or [row for row in own if row.slice_kind == "Task"]
    if not about:
        yield unknown(asked, "Inconclusive", missing(asked, rows, own))
    for row in sorted(about, key=lambda each: (each.slice or "", each.model_dump_json())):
        yield judge_row(replace(asked, row=row), row, error)


def missing(asked: Question, rows: Sequence[Measurement], own: Sequence[Measurement]) -> str:
    """Why there is no row to judge, for people."""
    if not rows:
        return f"Suite {asked.suite} was not measured"
    if asked.per_class:
        return f"{asked.name} was measured for no class"
    if any(row.slice_kind == "Class" for row in own):
        return f"{asked.name} was measured class by class only: ask for it with perClass: true"
    return f"{asked.name} was not measured"


def judge_row(asked: Question, row: Measurement, error: float) -> GateCheck:
    """Judge one row. Inconclusive without a usable measurement, Failed if the value is impossible."""
    if not 1 <= row.look <= row.looks:
        return unknown(asked, "Inconclusive", f"{asked.name}: there is no look {row.look} of {row.looks}")
    confidence = round(1 - at_look(error, row), 12)  # so that 1 - 0.05 is 0.95 again
    if not LEAST_CONFIDENCE <= confidence < 1:
        return unknown(asked, "Inconclusive", f"{asked.name}: a confidence of {confidence} cannot be worked with")
    suffix = f" (suite {asked.suite})" if asked.several else ""
    try:
        found = bounds(asked.measured, row, confidence, float(asked.threshold))
    except NotMeasuredError as reason:
        return unknown(asked, "Inconclusive", f"{reason}{suffix}")
    except NotANumberError as reason:
        return unknown(asked, "Failed", f"{reason}{suffix}")
    return compare(asked, found, row, confidence)


def compare(asked: Question, found: Bounds, row: Measurement, confidence: float) -> GateCheck:
    """Compare the bounds with the threshold."""
    threshold = float(asked.threshold)
    if asked.bound == "Minimum":
        passed, failed = found.lower >= threshold, found.upper < threshold
    else:
        passed, failed = found.upper <= threshold, found.lower > threshold
    verdict: Verdict = "Passed" if passed else "Failed" if failed else "Inconclusive"
    side = Side(asked.name, asked.bound, threshold, confidence, f"{asked.metric.unit}s", of_slice(row))
    if verdict == "Inconclusive":
        needed = needed_count(asked.measured, row, threshold, confidence)
        least = minimum_count(asked.measured, confidence, threshold)
        sentence = wording.inconclusive(side, found, Needed(needed, least))
    else:
        sentence = wording.decided(side, found, verdict)
    return check(asked, verdict, sentence, (found.value, found.lower, found.upper))


def unknown(asked: Question, verdict: Verdict, why: str) -> GateCheck:
    """A check without numbers. Its message precedes those of checks that have numbers."""
    return check(asked, verdict, why, None)


def check(asked: Question, verdict: Verdict, sentence: str, numbers: tuple[float, float, float] | None) -> GateCheck:
    """The check as it stands in status. numbers: value, lower and upper bound."""
    value, lower, upper = map(wording.number, numbers) if numbers is not None else (UNKNOWN,) * 3
    return GateCheck(
        suite=asked.suite, metric=asked.metric.name, slice=asked.row.slice if asked.row is not None else None,
        bound=asked.bound, threshold=asked.threshold, value=value, lower=lower, upper=upper,
        count=asked.row.count if asked.row is not None else None, verdict=verdict, message=sentence,
    )  # fmt: skip
