"""What a QuantizedModel's status shows of a verdict and of what was measured: small, whatever the number of classes."""

from __future__ import annotations

from lowbit.api.modelevaluation import ModelEvaluation
from lowbit.api.modelrevision import ModelRevision
from lowbit.api.status import EvaluationSummary, VerdictRecord
from lowbit.decide.remembered import once
from lowbit.gate.brief import asked_for, brief
from lowbit.state.snapshot import Observed, Snapshot


def _shown(evaluation: Observed[ModelEvaluation], asked: frozenset[tuple[str, str]]) -> EvaluationSummary | None:
    summary = evaluation.body.status.summary
    return summary.brief(asked) if summary is not None else None


def shown_summary(
    snapshot: Snapshot, judged: Observed[ModelRevision] | None, old: EvaluationSummary | None
) -> EvaluationSummary | None:
    """What was measured on the judged revision, in short; what stood there if nothing is known any more.

    An older Lowbit left out what a gate asks for just as well: what it wrote stays.
    """
    evaluation = snapshot.evaluations.get(judged.body.status.evaluation or "") if judged else None
    if judged is None or evaluation is None:
        return old
    shown = once(evaluation, _shown, once(judged, _asked))
    return old if old is not None and old == once(evaluation, _shown, frozenset()) else shown or old


def _asked(revision: Observed[ModelRevision]) -> frozenset[tuple[str, str]]:
    return asked_for(revision.body.spec.gates)


def shown_verdict(judged: Observed[ModelRevision] | None, old: VerdictRecord | None) -> VerdictRecord | None:
    """The verdict in short; what stood there if there is none. An older Lowbit wrote it whole: that stays."""
    whole = judged.body.status.verdict if judged else None
    if judged is None or whole is None:
        return old
    shown = once(judged, _briefly)
    return old if shown is not whole and old == whole else shown


def _briefly(revision: Observed[ModelRevision]) -> VerdictRecord | None:
    record = revision.body.status.verdict
    return brief(record) if record is not None else None
