"""What follows from a report's numbers: its grades and the next remedy."""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.api.evaluation import ResolvedGate
from lowbit.api.status import VerdictRecord
from lowbit.report.bands import grades
from lowbit.report.model import Judgement, Report
from lowbit.report.remedies import choose


def assessed(report: Report) -> Report:
    """The report with its grades and the next remedy."""
    graded = report.model_copy(update={"grades": grades(report)})
    return graded.model_copy(update={"remedy": choose(graded)})


def with_verdict(report: Report, record: VerdictRecord, gates: Sequence[ResolvedGate]) -> Report:
    """The report with the ModelRevision's present verdict in place of the one that was written into the store."""
    judgement = Judgement(by="Operator", record=record, gates=list(gates))
    return assessed(report.model_copy(update={"judgement": judgement}))
