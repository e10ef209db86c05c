"""gate: from two finished evaluations to the verdict, which is written into the revision's status once."""

from __future__ import annotations

from typing import NamedTuple

from lowbit.api.engines import field_path, resolved_engine
from lowbit.api.evaluation import data_of
from lowbit.api.modelevaluation import ModelEvaluation
from lowbit.api.modelrevision import ModelRevision
from lowbit.api.status import Condition, Failure, VerdictRecord
from lowbit.decide.conditions import Subject, condition
from lowbit.decide.outcome import Clock, StageResult
from lowbit.decide.serving.runtime import DIGEST_MARK
from lowbit.decide.serving.stale import repository
from lowbit.gate.attempts import gate_at, sentence
from lowbit.gate.judge import judge
from lowbit.state.plan import WriteStatus
from lowbit.state.snapshot import Observed, Snapshot


class Pair(NamedTuple):
    """The finished evaluations of the original and of a candidate."""

    baseline: Observed[ModelEvaluation]
    candidate: Observed[ModelEvaluation]


def engine_moved(
    evaluations: list[Observed[ModelEvaluation]], revision: Observed[ModelRevision], clock: Clock
) -> StageResult | None:
    """Two images under one tag make results that cannot be compared: nothing passes. A digest cannot move.

    Where the image of a result from the store is not known any more, the evaluator has compared the engines' versions.
    """
    image = resolved_engine(revision.body.spec.engine)[1].image
    if DIGEST_MARK in image:
        return None
    ran: dict[str, str] = {}
    for each in evaluations:
        # An original with an engine of its own may have another image.
        if each.body.status.engine_image_id and resolved_engine(each.body.spec.engine)[1].image == image:
            ran.setdefault(each.body.status.engine_image_id, each.meta.name)
    if len(ran) < 2:
        return None
    (first, one), (second, other) = list(ran.items())[:2]
    message = (
        f"{image} is not the image that it was: {one} was measured in {first}, {other} in {second}, "
        f"and the two cannot be compared for {revision.meta.name}."
    )
    example = second if DIGEST_MARK in second else f"{repository(image)}{DIGEST_MARK}..."
    field = f"{field_path(revision.body.spec.engine)}.image"
    action = f"Write {field} with a digest ({example}): both are then measured anew, in the same engine."
    failure = Failure(
        stage="Gate", reason="EngineImageMoved", message=message, action=action, revision=revision.meta.name,
        time=clock.text,
    )  # fmt: skip
    return StageResult.failed(failure)


def attempts(snapshot: Snapshot, revision: Observed[ModelRevision], candidate: Observed[ModelEvaluation]) -> int:
    """Which manifest this is of those that were judged on the same samples, from 1.

    The store has counted the evaluation, for every model of every name. What was judged anew by another threshold, with
    no new measurement, only shows here. The candidates of one manifest are one attempt: they divide the error already.
    """
    mine, hash_ = _data(revision), revision.body.spec.input_hash
    judged = [
        other for other in snapshot.revisions
        if other.body.status.verdict is not None and other.body.spec.input_hash != hash_
    ]  # fmt: skip
    seen = {other.body.spec.input_hash for other in judged if mine & _data(other)}
    summary = candidate.body.status.summary
    counted = summary.attempt if summary is not None else None
    if counted is None:
        return len(seen) + 1
    if counted.input_hash == hash_:
        return max(len(seen) + 1, counted.ordinal)
    by_it = {each.body.spec.input_hash for each in judged if each.body.status.evaluation == candidate.meta.name}
    return max(len(seen) + 1, counted.ordinal + len(by_it - {counted.input_hash}) + 1)


def _data(revision: Observed[ModelRevision]) -> set[str]:
    """Digests: a suite that was renamed still judges by the same texts."""
    return {digest for suite in revision.body.spec.protocol.suites for _, digest in data_of(suite)}


def verdict(snapshot: Snapshot, clock: Clock, revision: Observed[ModelRevision], both: Pair) -> StageResult:
    """Judge, and write the verdict into the revision's status."""
    record = judged(revision, both.candidate, attempts(snapshot, revision, both.candidate), clock)
    state = {"Passed": "True", "Failed": "False", "Inconclusive": "Unknown"}[record.verdict]
    observed = Subject(revision.body.status.conditions, revision.meta.generation, clock)
    passed: Condition = condition(observed, "Passed", state, record.verdict, record.message)
    status = revision.body.status.model_copy(
        update={
            "verdict": record, "baseline": both.baseline.meta.name, "evaluation": both.candidate.meta.name,
            "conditions": [passed], "failure": None,
            "observed_generation": revision.meta.generation,
        }
    )  # fmt: skip
    meta = revision.meta
    fact = WriteStatus("ModelRevision", meta.name, meta.uid, meta.resource_version, status.wire())
    return StageResult("Gating", "Judged", record.message, fact=fact, revision=meta.name)


def judged(
    revision: Observed[ModelRevision], candidate: Observed[ModelEvaluation], attempt: int, clock: Clock
) -> VerdictRecord:
    """The verdict of the revision's gates on an evaluation of its artifact. attempt: from attempts()."""
    spec, summary = revision.body.spec, candidate.body.status.summary
    if summary is None:
        raise ValueError(f"ModelEvaluation {candidate.meta.name} is not measured")
    gates = [gate_at(gate, spec.attempts, attempt) for gate in spec.gates]
    record = judge(gates, summary, spec.candidates, attempt, clock.text)
    if attempt > 1:
        record = record.model_copy(update={"message": f"{record.message}. {sentence(attempt, spec.attempts)}"})
    return record
