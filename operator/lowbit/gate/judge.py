"""From measurements to Passed, Failed or Inconclusive.

A maximum is passed if the upper confidence bound is at most the value, failed if the lower one is above it, and
inconclusive otherwise. A minimum is the mirror image, and non-inferiority is a maximum of the loss. Every threshold of
every suite must pass, so several thresholds need no correction. Several candidates are several chances to pass by luck,
so the error probability is divided by their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lowbit.api.evaluation import ResolvedGate, SuiteGate
from lowbit.api.status import Basis, EvaluationSummary, Measurement, Verdict, VerdictRecord
from lowbit.gate import wording
from lowbit.gate.looks import confidence_at, is_planned
from lowbit.gate.plausible import implausible
from lowbit.gate.thresholds import Judged, Spend, Threshold, judge_question, question


def at_look(error: float, row: Measurement) -> float:
    """The error of a check: that of its look, so that all looks that were fixed beforehand together keep to it.

    None at all for a look that cannot have been planned.
    """
    if not is_planned(row.look, row.looks):
        return 0.0
    # An error that no gate may have stays as it is: judge_row() refuses it.
    return 1 - confidence_at(1 - error, row.look, row.looks) if 0 < error <= 0.5 else error


def judge(
    gates: Sequence[ResolvedGate], summary: EvaluationSummary, candidate_count: int, attempts: int, time: str,
    spend: Spend = at_look,
) -> VerdictRecord:  # fmt: skip
    """The verdict on one candidate. Fails closed: missing or impossible measurements never pass.

    candidate_count: how many were declared. attempts: revisions judged on the same evaluation data, this one included.
    time: now (RFC 3339). spend: the share of the gate's error that a check may use.
    """
    judged = [one for gate in gates for one in judge_gate(gate, summary, candidate_count, len(gates) > 1, spend)]
    empty = [gate.suite for gate in gates if not thresholds(gate)]
    verdict = overall([one.check.verdict for one in judged], complete=bool(judged) and not empty)
    doubts, message = implausible(gates, summary), deciding(verdict, judged) or wording.no_gate(empty)
    if doubts and verdict != "Failed":
        verdict, message = "Inconclusive", doubts[0]
    return VerdictRecord(
        verdict=verdict,
        basis=basis(judged),
        message=message,
        confidence=wording.number(
            min((least_confidence(gate, summary, candidate_count, spend) for gate in gates), default=0.0)
        ),
        attempts=attempts,
        checks=[one.check for one in judged],
        implausible=doubts,
        time=time,
    )


def overall(verdicts: Sequence[Verdict], complete: bool) -> Verdict:
    """Failed if any check failed, Passed if all have passed. complete: whether every gate has a threshold."""
    if "Failed" in verdicts:
        return "Failed"
    if not complete or "Inconclusive" in verdicts:
        return "Inconclusive"
    return "Passed"


def basis(judged: Sequence[Judged]) -> Basis:
    """NonInferiority if every threshold is a margin of a loss."""
    return "NonInferiority" if {one.check.bound for one in judged} == {"NonInferiority"} else "Thresholds"


def deciding(verdict: Verdict, judged: Sequence[Judged]) -> str | None:
    """The sentence of the check that decided: the closest call of a Passed, else the one farthest from passing."""
    same = [one for one in judged if one.check.verdict == verdict]
    if not same:
        return None
    nearest = 1 if verdict == "Passed" else -1
    return min(same, key=lambda one: (nearest * one.distance, one.sentence)).sentence


def divided_confidence(gate: ResolvedGate, candidate_count: int) -> float:
    """One-sided confidence of each bound: the error probability is divided over the declared candidates."""
    return divide(float(gate.confidence), candidate_count)


def least_confidence(gate: ResolvedGate, summary: EvaluationSummary, candidate_count: int, spend: Spend) -> float:
    """The smallest one-sided confidence of the suite's bounds: where it looks several times, that of its look."""
    confidence = divided_confidence(gate, candidate_count)
    looked = [row for row in summary.measurements if row.suite == gate.suite and row.looks > 1]
    return min((1 - spend(1 - confidence, row) for row in looked), default=confidence)


def divide(confidence: float, candidate_count: int) -> float:
    """The confidence of each of several candidates."""
    return 1 - (1 - confidence) / max(1, candidate_count)


def thresholds(gate: ResolvedGate | SuiteGate) -> list[Threshold]:
    """Every threshold of a gate."""
    return [*gate.maximum, *gate.minimum, *gate.non_inferiority]


def judge_gate(
    gate: ResolvedGate, summary: EvaluationSummary, candidate_count: int, several: bool, spend: Spend
) -> Iterator[Judged]:
    """Every threshold of one suite. several: whether there are other suites."""
    error = 1 - divided_confidence(gate, candidate_count)
    rows = [row for row in summary.measurements if row.suite == gate.suite]
    for threshold in thresholds(gate):
        yield from judge_question(question(gate.suite, threshold, several), rows, error, spend)
