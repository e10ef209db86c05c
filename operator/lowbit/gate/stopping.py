"""When a suite that looks several times has been measured enough."""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.api.evaluation import ResolvedGate
from lowbit.api.status import EvaluationSummary, Measurement
from lowbit.gate.judge import judge_gate


def is_decided(gate: ResolvedGate, rows: Sequence[Measurement], candidates: int) -> bool:
    """Whether every threshold of a suite's gate has passed or failed at the look that its rows are of.

    candidates: how many were declared; the error is divided over them.
    """
    summary = EvaluationSummary(measurements=list(rows), speed=[])
    found = list(judge_gate(gate, summary, candidates, False))
    return bool(found) and all(check.verdict != "Inconclusive" for check in found)
