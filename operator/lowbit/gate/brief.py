"""A verdict in short: of hundreds of checks those that a person reads first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from lowbit.api.evaluation import ResolvedGate
from lowbit.api.status import VerdictRecord
from lowbit.gate.deciding import deciding_check
from lowbit.gate.judge import thresholds
from lowbit.gate.thresholds import question

SHOWN_CHECKS: Final = 32
"""Of about 400 bytes each. A gate on 200 classes has 200 for each threshold."""
SHOWN_DOUBTS: Final = 8
ORDER: Final = ("Failed", "Inconclusive", "Passed")


def brief(record: VerdictRecord) -> VerdictRecord:
    """The verdict with at most SHOWN_CHECKS checks: the one that decided, then failed, inconclusive and passed ones.

    A small verdict is returned as it is. The ModelRevision has all of it.
    """
    checks, doubts = record.checks, record.implausible
    if len(checks) > SHOWN_CHECKS:
        first = deciding_check(record.verdict, record.checks)
        checks = sorted(checks, key=lambda check: (check is not first, ORDER.index(check.verdict)))[:SHOWN_CHECKS]
    if len(doubts) > SHOWN_DOUBTS:
        doubts = [*doubts[:SHOWN_DOUBTS], f"And {len(doubts) - SHOWN_DOUBTS} more: see the ModelRevision"]
    if (left := len(record.checks) - len(checks)) or doubts is not record.implausible:
        return record.model_copy(update={"checks": checks, "implausible": doubts, "checks_left_out": left or None})
    return record


def asked_for(gates: Iterable[ResolvedGate]) -> frozenset[tuple[str, str]]:
    """(suite, metric) of everything that gates judge: the metric that they name, and the loss that is measured."""
    asked = [question(gate.suite, each, several=False) for gate in gates for each in thresholds(gate)]
    return frozenset((each.suite, metric.name) for each in asked for metric in (each.metric, each.measured))
