"""From measurements to Passed, Failed or Inconclusive.

A maximum is passed if the upper confidence bound is at most the value, failed if the lower one is above it, and
inconclusive otherwise. A minimum is the mirror image. Every threshold of every suite must pass, so several thresholds
need no correction. Several candidates are several chances to pass by luck, so the error probability is divided by
their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, isinf
from typing import Literal

from lowbit.api.evaluation import MaximumThreshold, MinimumThreshold, ResolvedGate
from lowbit.api.status import EvaluationSummary, GateCheck, Measurement, Verdict, VerdictRecord
from lowbit.api.suites import metrics
from lowbit.api.suites.metric import Metric
from lowbit.gate import wording
from lowbit.gate.bounds import Bounds, NotANumberError, NotMeasuredError, bounds, needed_count
from lowbit.gate.looks import confidence_at, is_planned
from lowbit.gate.wording import Needed

LEAST_CONFIDENCE = 0.8
"""Less is no evidence: a coin has one half."""
UNKNOWN = "NaN"
"""A check's value where there is no number."""


@dataclass(frozen=True)
class Judged:
    """One check, the sentence that explains it, and how far its deciding bound is from the threshold."""

    check: GateCheck
    sentence: str
    distance: float
    """Relative to the threshold; infinite if there is no number."""


def judge(
    gates: Sequence[ResolvedGate], summary: EvaluationSummary, candidate_count: int, attempts: int, time: str
) -> VerdictRecord:
    """The verdict on one candidate. Fails closed: missing or impossible measurements never pass.

    candidate_count: how many were declared. attempts: revisions judged on the same evaluation data, this one included.
    time: now (RFC 3339).
    """
    judged = [one for gate in gates for one in judge_gate(gate, summary, candidate_count, len(gates) > 1)]
    empty = [gate.suite for gate in gates if not gate.maximum and not gate.minimum]
    verdict = overall([one.check.verdict for one in judged], complete=bool(judged) and not empty)
    return VerdictRecord(
        verdict=verdict,
        basis="Thresholds",
        message=deciding(verdict, judged) or wording.no_gate(empty),
        confidence=wording.number(min((divided_confidence(gate, candidate_count) for gate in gates), default=0.0)),
        attempts=attempts,
        checks=[one.check for one in judged],
        time=time,
    )


def overall(verdicts: Sequence[Verdict], complete: bool) -> Verdict:
    """Failed if any check failed, Passed if all have passed. complete: whether every gate has a threshold."""
    if "Failed" in verdicts:
        return "Failed"
    if not complete or "Inconclusive" in verdicts:
        return "Inconclusive"
    return "Passed"


def deciding(verdict: Verdict, judged: Sequence[Judged]) -> str | None:
    """The sentence of the metric that decided: the closest call of a Passed, else the one farthest from passing."""
    same = [one for one in judged if one.check.verdict == verdict]
    if not same:
        return None
    pick = min if verdict == "Passed" else max
    return pick(same, key=lambda one: one.distance).sentence


def divided_confidence(gate: ResolvedGate, candidate_count: int) -> float:
    """One-sided confidence of each bound: the error probability is divided over the declared candidates."""
    return divide(float(gate.confidence), candidate_count)


def divide(confidence: float, candidate_count: int) -> float:
    """The confidence of each of several candidates."""
    return 1 - (1 - confidence) / max(1, candidate_count)


def judge_gate(gate: ResolvedGate, summary: EvaluationSummary, candidate_count: int, several: bool) -> Iterator[Judged]:
    """Every threshold of one suite."""
    confidence = divided_confidence(gate, candidate_count)
    rows = [row for row in summary.measurements if row.suite == gate.suite and row.slice is None]
    known = metrics()
    thresholds: list[MaximumThreshold | MinimumThreshold] = [*gate.maximum, *gate.minimum]
    for threshold in thresholds:
        bound: Literal["Maximum", "Minimum"] = "Maximum" if isinstance(threshold, MaximumThreshold) else "Minimum"
        question = Question(gate.suite, known[threshold.metric], bound, threshold.value, several)
        yield judge_threshold(question, rows, confidence)


@dataclass(frozen=True)
class Question:
    """One threshold of one suite."""

    suite: str
    metric: Metric
    bound: Literal["Maximum", "Minimum"]
    threshold: str
    several: bool
    """Whether there are other suites, so that a message must name this one."""

    @property
    def name(self) -> str:
        """What is judged, for people."""
        return f"{self.metric.name} of suite {self.suite}" if self.several else self.metric.name


def judge_threshold(question: Question, rows: Sequence[Measurement], confidence: float) -> Judged:
    """Judge one threshold. Inconclusive without a usable measurement, Failed if the value is impossible."""
    if not LEAST_CONFIDENCE <= confidence < 1:
        return unknown(question, "Inconclusive", f"{question.name}: a confidence of {confidence} cannot be worked with")
    if not rows:
        return unknown(question, "Inconclusive", f"Suite {question.suite} was not measured")
    measured = next((row for row in rows if row.metric == question.metric.name), None)
    if measured is None:
        return unknown(question, "Inconclusive", f"{question.name} was not measured")
    if not is_planned(measured.look, measured.looks):
        why = f"{question.name} was measured at look {measured.look} of {measured.looks}, which cannot be"
        return unknown(question, "Inconclusive", why)
    # Several looks are several chances: each has a boundary of its own.
    confidence = confidence_at(confidence, measured.look, measured.looks)
    suffix = f" (suite {question.suite})" if question.several else ""
    try:
        found = bounds(question.metric, measured, confidence, float(question.threshold))
    except NotMeasuredError as missing:
        return unknown(question, "Inconclusive", f"{missing}{suffix}")
    except NotANumberError as broken:
        return unknown(question, "Failed", f"{broken}{suffix}")
    return compare(question, found, measured, confidence)


def compare(question: Question, found: Bounds, measured: Measurement, confidence: float) -> Judged:
    """Compare the bounds with the threshold."""
    threshold = float(question.threshold)
    if question.bound == "Maximum":
        passed, failed = found.upper <= threshold, found.lower > threshold
        pass_bound, fail_bound = found.upper, found.lower
    else:
        passed, failed = found.lower >= threshold, found.upper < threshold
        pass_bound, fail_bound = found.lower, found.upper
    verdict: Verdict = "Passed" if passed else "Failed" if failed else "Inconclusive"
    if verdict == "Inconclusive":
        needed = needed_count(question.metric, measured, threshold, confidence)
        sentence = wording.inconclusive(
            question.name, found, threshold, confidence, Needed(needed, question.metric.unit)
        )
    else:
        decisive = pass_bound if passed else fail_bound
        relation = wording.RELATIONS[question.bound, verdict]
        sentence = wording.decided(question.name, found.value, decisive, threshold, confidence, relation)
    nearest = fail_bound if failed else pass_bound
    return Judged(
        check=GateCheck(
            suite=question.suite, metric=question.metric.name, bound=question.bound, threshold=question.threshold,
            value=wording.number(found.value), lower=wording.number(found.lower), upper=wording.number(found.upper),
            verdict=verdict,
        ),
        sentence=sentence,
        distance=relative_distance(nearest, threshold),
    )  # fmt: skip


def relative_distance(bound: float, threshold: float) -> float:
    """How far a bound is from its threshold, as a share of the threshold."""
    if isinf(bound):
        return inf
    return abs(bound - threshold) / threshold if threshold else abs(bound)


def unknown(question: Question, verdict: Verdict, why: str) -> Judged:
    """A check without numbers. Its message precedes those of checks that have numbers."""
    return Judged(
        check=GateCheck(
            suite=question.suite, metric=question.metric.name, bound=question.bound, threshold=question.threshold,
            value=UNKNOWN, lower=UNKNOWN, upper=UNKNOWN, verdict=verdict,
        ),
        sentence=why,
        distance=inf,
    )  # fmt: skip
