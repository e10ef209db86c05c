"""From measurements to Passed, Failed or Inconclusive.

A maximum is passed if the upper confidence bound is at most the value, failed if the lower one is above it, and
inconclusive otherwise. A minimum is the mirror image, and non-inferiority is a maximum of the loss. Every threshold of
every suite must pass, so several thresholds need no correction. Several candidates are several chances to pass by luck,
so the error probability is divided by their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lowbit.api.evaluation import ResolvedGate, SuiteGate
from lowbit.api.status import Basis, EvaluationSummary, GateCheck, Verdict, VerdictRecord
from lowbit.gate import wording
from lowbit.gate.deciding import deciding_check
from lowbit.gate.looks import at_look
from lowbit.gate.plausible import implausible
from lowbit.gate.thresholds import Threshold, judge_question, question


def judge(
    gates: Sequence[ResolvedGate], summary: EvaluationSummary, candidate_count: int, attempts: int, time: str
) -> VerdictRecord:
    """The verdict on one candidate. Fails closed: missing or impossible measurements never pass.

    candidate_count: how many were declared. attempts: revisions judged on the same evaluation data, this one included.
    time: now (RFC 3339).
    """
    checks = [check for gate in gates for check in judge_gate(gate, summary, candidate_count, len(gates) > 1)]
    empty = [gate.suite for gate in gates if not thresholds(gate)]
    verdict = overall([check.verdict for check in checks], complete=bool(checks) and not empty)
    decided, doubts = deciding_check(verdict, checks), implausible(gates, summary)
    message = (decided.message if decided is not None else None) or wording.no_gate(empty)
    if doubts and verdict != "Failed":
        verdict, message = "Inconclusive", doubts[0]
    return VerdictRecord(
        verdict=verdict,
        basis=basis(checks),
        message=message,
        confidence=wording.number(
            min((least_confidence(gate, summary, candidate_count) for gate in gates), default=0.0)
        ),
        attempts=attempts,
        checks=checks,
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


def basis(checks: Sequence[GateCheck]) -> Basis:
    """NonInferiority if every threshold is a margin of a loss."""
    return "NonInferiority" if {check.bound for check in checks} == {"NonInferiority"} else "Thresholds"


def divided_confidence(gate: ResolvedGate, candidate_count: int) -> float:
    """One-sided confidence of each bound: the error probability is divided over the declared candidates."""
    return divide(float(gate.confidence), candidate_count)


def least_confidence(gate: ResolvedGate, summary: EvaluationSummary, candidate_count: int) -> float:
    """The smallest one-sided confidence of the suite's bounds: where it looks several times, that of its look."""
    confidence = divided_confidence(gate, candidate_count)
    looked = [row for row in summary.measurements if row.suite == gate.suite and row.looks > 1]
    return min((1 - at_look(1 - confidence, row) for row in looked), default=confidence)


def divide(confidence: float, candidate_count: int) -> float:
    """The confidence of each of several candidates."""
    return 1 - (1 - confidence) / max(1, candidate_count)


def thresholds(gate: ResolvedGate | SuiteGate) -> list[Threshold]:
    """Every threshold of a gate."""
    return [*gate.maximum, *gate.minimum, *gate.non_inferiority]


def judge_gate(
    gate: ResolvedGate, summary: EvaluationSummary, candidate_count: int, several: bool
) -> Iterator[GateCheck]:
    """Every threshold of one suite. several: whether there are other suites."""
    error = 1 - divided_confidence(gate, candidate_count)
    rows = [row for row in summary.measurements if row.suite == gate.suite]
    for threshold in thresholds(gate):
        yield from judge_question(question(gate.suite, threshold, several), rows, error)
