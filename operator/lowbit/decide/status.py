"""The QuantizedModel's status, and the events that a person would want to know of."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.api.modelevaluation import ModelEvaluation
from lowbit.api.modelrevision import ModelRevision
from lowbit.api.quantizedmodel import QuantizedModelStatus, RevisionSummary
from lowbit.api.recipes import label
from lowbit.api.status import Condition, EvaluationSummary, Failure, Progress, Stage
from lowbit.decide.conditions import Subject, condition
from lowbit.decide.outcome import Clock, StageResult
from lowbit.decide.remembered import input_hash, kept, once
from lowbit.decide.serving.pods import restarted
from lowbit.decide.serving.serve import by_name
from lowbit.decide.serving.target import Target
from lowbit.decide.stuck import Stuck
from lowbit.naming.names import MODEL_LABEL
from lowbit.state.plan import Event, WriteStatus
from lowbit.state.snapshot import Observed, Snapshot

SHORT_MESSAGE = 100
"""Characters of the message column in kubectl get."""


@dataclass(frozen=True)
class Situation:
    """What the stages have said, in one place."""

    target: Target | None
    """What this generation asks to be served."""
    serving: Target | None
    """What the Deployment serves now, if it may be served."""
    waiting: StageResult | None
    failure: Failure | None
    setback: Failure | None = None
    """A failure that passes by itself."""
    rolled_out: bool = False
    """Nothing but the target serves any more."""
    stuck: Stuck | None = None
    """What holds a pod up that is to serve."""
    let_go: Failure | None = None
    """Why no pod serves: none could start, and the Deployment was scaled to 0."""


def summary(revision: Observed[ModelRevision] | None) -> RevisionSummary | None:
    """One revision, in short."""
    return once(revision, _summary) if revision is not None else None


def _summary(revision: Observed[ModelRevision]) -> RevisionSummary:
    spec, status = revision.body.spec, revision.body.status
    return RevisionSummary(
        name=revision.meta.name, candidate=spec.candidate, recipe=label(spec.recipe, spec.engine_changes),
        verdict=status.verdict.verdict if status.verdict else None, artifact=status.artifact,
    )  # fmt: skip


def _shown(evaluation: Observed[ModelEvaluation]) -> EvaluationSummary | None:
    summary = evaluation.body.status.summary
    return summary.brief() if summary is not None else None


def is_ready(snapshot: Snapshot, situation: Situation) -> bool:
    """This generation is what is served; or, without serving, has passed."""
    if situation.target is None or situation.waiting is not None or situation.failure is not None:
        return False
    if snapshot.model.body.spec.serving is None:
        return True
    return situation.rolled_out


def stage_of(snapshot: Snapshot, situation: Situation, ready: bool) -> Stage:
    """Where the QuantizedModel is."""
    if situation.failure is not None:
        return "Failed"
    if situation.waiting is not None:
        return situation.waiting.stage
    if snapshot.model.body.spec.serving is None:
        return "Passed"
    return "Serving" if ready else "RollingOut"


def explain(snapshot: Snapshot, situation: Situation, ready: bool) -> tuple[str, str]:
    """Reason and message of the Ready condition."""
    if situation.failure is not None:
        return situation.failure.reason, f"{situation.failure.message} {situation.failure.action}".strip()
    if situation.waiting is not None:
        return situation.waiting.reason, situation.waiting.message
    if snapshot.model.body.spec.serving is None:
        return "Passed", f"{situation.target.label if situation.target else ''} has passed its gate"
    deployment = snapshot.deployment
    label = situation.target.label if situation.target else ""
    if ready:
        return "Serving", f"{label} answers from {deployment.ready if deployment else 0} pod(s)"
    counts = f"{deployment.ready if deployment else 0} of {_replicas(snapshot)} pod(s) ready"
    if situation.stuck is not None:
        return situation.stuck.cause.reason, f"rolling out {label}: {counts}; {situation.stuck.text}"
    if (ended := restarted(snapshot, label)) is not None:
        return "ContainerRestarted", f"{label}: {counts}; {ended}"
    overdue = f"; {deployment.stalled}" if deployment is not None and deployment.stalled is not None else ""
    return "RollingOut", f"rolling out {label}: {counts}{overdue}"


def _replicas(snapshot: Snapshot) -> int:
    serving = snapshot.model.body.spec.serving
    return serving.replicas if serving is not None else 0


def conditions(
    snapshot: Snapshot, situation: Situation, ready: bool, reason: str, message: str, clock: Clock
) -> list[Condition]:
    """Available and Ready always; Reconciling and Stalled only while they hold (kstatus)."""
    observed = Subject(snapshot.model.body.status.conditions, snapshot.model.meta.generation, clock)
    found = [
        _available(snapshot, situation, clock),
        condition(observed, "Ready", "True" if ready else "False", reason, message),
    ]
    if situation.failure is not None:
        found.append(condition(observed, "Stalled", "True", reason, message))
    elif not ready:
        found.append(condition(observed, "Reconciling", "True", reason, message))
    return found


def _available(snapshot: Snapshot, situation: Situation, clock: Clock) -> Condition:
    observed = Subject(snapshot.model.body.status.conditions, snapshot.model.meta.generation, clock)
    deployment = snapshot.deployment
    if snapshot.model.body.spec.serving is None:
        return condition(observed, "Available", "False", "NotServing", "spec.serving is not set")
    answers = situation.serving is not None and deployment is not None and deployment.available > 0
    if answers and situation.serving is not None:
        return condition(observed, "Available", "True", "Answers", f"{situation.serving.label} answers")
    if situation.let_go is not None:
        let_go = f"its pods were let go: {situation.let_go.message} {situation.let_go.action}"
        return condition(observed, "Available", "False", "NoPodReady", let_go)
    return condition(observed, "Available", "False", "NoPodReady", "no pod of a passed revision is ready")


def last_judged(snapshot: Snapshot) -> Observed[ModelRevision] | None:
    """The revision of the present input that was judged last."""
    hash_ = input_hash(snapshot.model)
    mine = [r for r in snapshot.revisions if r.body.spec.input_hash == hash_ and r.body.status.verdict is not None]
    return max(mine, key=lambda revision: revision.body.spec.candidate, default=None)


def quantized_model_status(snapshot: Snapshot, situation: Situation, clock: Clock) -> QuantizedModelStatus:
    """The whole status, as it should be."""
    body, meta, spec = snapshot.model.body, snapshot.model.meta, snapshot.model.body.spec
    old = body.status
    waiting = situation.waiting
    ready = is_ready(snapshot, situation)
    reason, message = explain(snapshot, situation, ready)
    in_work = by_name(snapshot, waiting.revision) if waiting else None
    shown = in_work or (situation.target.revision if situation.target else None)
    judged = shown if shown and shown.body.status.verdict else last_judged(snapshot)
    verdict = judged.body.status.verdict if judged else None
    served = situation.serving
    if snapshot.deployment is None and is_served(snapshot, situation):
        served = situation.target  # this very step makes the Deployment
    current = served.revision if served and not served.source else None
    if spec.serving is None and situation.target is not None:
        current = situation.target.revision
    evaluation = snapshot.evaluations.get(judged.body.status.evaluation or "") if judged else None
    measured = (once(evaluation, _shown) if evaluation is not None else None) or old.evaluation
    deployment = snapshot.deployment
    return QuantizedModelStatus(
        observed_generation=meta.generation,
        conditions=conditions(snapshot, situation, ready, reason, message, clock),
        stage=stage_of(snapshot, situation, ready),
        reason=reason,
        message=message if len(message) <= SHORT_MESSAGE else message[: SHORT_MESSAGE - 1] + "…",
        progress=_progress(waiting),
        current=kept(snapshot.model, "current", old.current, summary(current)),
        candidate=summary(in_work) if in_work is not current else None,
        verdict=kept(snapshot.model, "verdict", old.verdict, verdict or old.verdict),
        evaluation=kept(snapshot.model, "evaluation", old.evaluation, measured),
        endpoint=f"http://{meta.name}.{meta.namespace}.svc/v1" if is_served(snapshot, situation) else None,
        replicas=deployment.replicas if deployment else 0,
        ready_replicas=deployment.ready if deployment else 0,
        selector=f"{MODEL_LABEL}={meta.name},app.kubernetes.io/component=serving" if spec.serving is not None else None,
        last_failure=_failure(old.last_failure, situation.failure or situation.setback),
    )


def is_served(snapshot: Snapshot, situation: Situation) -> bool:
    """Whether what serves is there, or made by this very step."""
    if snapshot.model.body.spec.serving is None:
        return False
    return snapshot.deployment is not None or (situation.target is not None and situation.waiting is None)


def _progress(waiting: StageResult | None) -> Progress | None:
    return waiting.progress if waiting is not None and waiting.failure is None else None


def _failure(old: Failure | None, new: Failure | None) -> Failure | None:
    if new is None:
        return old
    # The same failure keeps the time at which it was first seen: at rest nothing is written.
    if old is not None and (new.attempts or 1) > 1 and (old.job, old.reason) == (new.job, new.reason):
        new = new.model_copy(update={"time": old.time})
    same = old is not None and old.model_copy(update={"time": new.time}) == new
    return old if same else new


def write(snapshot: Snapshot, status: QuantizedModelStatus) -> WriteStatus | None:
    """The write, if anything differs."""
    if status == snapshot.model.body.status:
        return None
    new = status.wire()
    if new == snapshot.model.body.status.wire():
        return None
    meta = snapshot.model.meta
    return WriteStatus("QuantizedModel", meta.name, meta.uid, meta.resource_version, new)


def events(old: QuantizedModelStatus, new: QuantizedModelStatus) -> tuple[Event, ...]:
    """One event per stage, verdict, failure and setback."""
    found: list[Event] = []
    full = next((c.message for c in new.conditions if c.type == "Ready"), new.message or "")
    if new.verdict is not None and new.verdict != old.verdict:
        good = new.verdict.verdict == "Passed"
        found.append(Event("Normal" if good else "Warning", f"Gate{new.verdict.verdict}", new.verdict.message))
    if new.stage == "Failed" and (new.last_failure != old.last_failure or old.stage != "Failed"):
        found.append(Event("Warning", new.reason or "Failed", full))
        return tuple(found)
    if new.last_failure is not None and new.last_failure != old.last_failure:
        # What failed is tried again.
        found.append(Event("Warning", new.last_failure.reason, new.last_failure.message))
    if new.stage != old.stage:
        found.append(Event("Normal", new.stage, full))
    return tuple(found)
