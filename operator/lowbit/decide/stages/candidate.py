"""A candidate that can be neither made nor measured: its failure is recorded, and the next candidate is tried."""

from __future__ import annotations

from dataclasses import replace

from lowbit.api.modelrevision import ModelRevision
from lowbit.api.stages import EVALUATE, QUANTIZE
from lowbit.api.status import Failure
from lowbit.decide.conditions import Subject, condition
from lowbit.decide.outcome import Clock, StageResult
from lowbit.state.plan import WriteStatus
from lowbit.state.snapshot import Observed

NOT_MADE = frozenset({"QuantizationFailed", "SmokeTestFailed", "BadArtifact", "OutOfMemory", "OutOfGPUMemory"})
"""Reasons by which quantize says that this recipe does not work on this model."""
NOT_MEASURED = frozenset({"EngineCrashLoop", "OutOfMemory"})
"""Reasons by which the evaluation of an artifact says that the engine cannot run it. The original ran before it."""


def own_failure(step: StageResult) -> Failure | None:
    """The failure of a step, if it is the candidate's own: another recipe may do. Else somebody has to mend it."""
    failure = step.failure
    if failure is None or not step.of_candidate:
        return None
    own = {QUANTIZE.title: NOT_MADE, EVALUATE.title: NOT_MEASURED}
    return failure if failure.reason in own.get(failure.stage, ()) else None


def recorded(step: StageResult, revision: Observed[ModelRevision], failure: Failure, clock: Clock) -> StageResult:
    """The step, with the next fact to be written: about the evaluation first, then about the revision."""
    known = revision.body.status.failure
    same = known is not None and (known.reason, known.message) == (failure.reason, failure.message)
    return step if same or step.fact is not None else replace(step, fact=record_failure(revision, failure, clock))


def moves_on(step: StageResult, revision: Observed[ModelRevision], failure: Failure) -> StageResult | None:
    """What is to be done before the next candidate is tried; None if all of it is."""
    if not step.actions and step.fact is None:
        return None
    name = revision.body.spec.label
    return replace(
        step, stage="Quantizing" if failure.stage == QUANTIZE.title else "Evaluating", reason="CandidateFailed",
        message=f"{name} ({revision.meta.name}) has failed: {failure.message}", failure=None, setback=failure,
    )  # fmt: skip


def record_failure(revision: Observed[ModelRevision], failure: Failure, clock: Clock) -> WriteStatus:
    """Write into the revision's status why it is given up."""
    meta, status = revision.meta, revision.body.status
    message = f"{failure.message} {failure.action}".strip()
    passed = condition(Subject(status.conditions, meta.generation, clock), "Passed", "False", failure.reason, message)
    update = {"failure": failure, "conditions": [passed], "observed_generation": meta.generation}
    written = status.model_copy(update=update)
    return WriteStatus("ModelRevision", meta.name, meta.uid, meta.resource_version, written.wire())
