"""The QuantizedModel's status, and the events that a person would want to know of."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.api.modelrevision import ModelRevision
from lowbit.api.quantizedmodel import QuantizedModelStatus, RevisionSummary
from lowbit.api.showcase import ServedShowcase
from lowbit.api.status import Condition, Failure, Progress, RunningEngines, Stage, VerdictRecord
from lowbit.decide.comparison import compares_all, comparison, of_generation
from lowbit.decide.conditions import Subject, condition
from lowbit.decide.outcome import Clock, StageResult
from lowbit.decide.remembered import input_hash, kept, once
from lowbit.decide.serving.left_out import left_out
from lowbit.decide.serving.pods import restarted
from lowbit.decide.serving.serve import by_name
from lowbit.decide.serving.stale import NOT_PASSED, Stale
from lowbit.decide.serving.target import Target
from lowbit.decide.shown import shown_summary, shown_verdict
from lowbit.decide.sizes import but_for_memory, memory
from lowbit.decide.stuck import Stuck
from lowbit.decide.token import token_of
from lowbit.naming.names import MODEL_LABEL
from lowbit.state.plan import Event, WriteStatus
from lowbit.state.snapshot import Observed, Snapshot

VERDICT_STALE = "VerdictStale"
"""A condition that is there only while it holds: some engine that serves does not run as the judged one did."""
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
    running: RunningEngines | None = None
    """How the engines run that serve."""
    stale: Stale | None = None
    """Why the verdict does not hold for all of them."""
    comparing: StageResult | None = None
    """The next step of the comparison that goes on beside what serves. Nothing of it makes the model less ready."""
    judging: StageResult | None = None
    """The next step of evaluating again what serves otherwise than it was judged. Nothing of it does either."""
    asking: StageResult | None = None
    """How far the Job is that asks what serves the prompts of the showcase."""
    answers: ServedShowcase | None = None
    """What it has answered just now."""


def summary(revision: Observed[ModelRevision] | None) -> RevisionSummary | None:
    """One revision, in short."""
    return once(revision, _summary) if revision is not None else None


def _summary(revision: Observed[ModelRevision]) -> RevisionSummary:
    spec, status = revision.body.spec, revision.body.status
    return RevisionSummary(
        name=revision.meta.name, candidate=spec.candidate, recipe=spec.label,
        verdict=status.verdict.verdict if status.verdict else None, artifact=status.artifact,
    )  # fmt: skip


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
        without = left_out(snapshot, situation.target)
        answers = f"{label} answers from {deployment.ready if deployment else 0} pod(s)"
        return "Serving", answers if without is None else f"{answers}; {without}"
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
    """Available and Ready always; Reconciling, Stalled and VerdictStale only while they hold (kstatus).

    Compared is there where the comparison is asked for.
    """
    observed = Subject(snapshot.model.body.status.conditions, snapshot.model.meta.generation, clock)
    found = [
        _available(snapshot, situation, clock),
        condition(observed, "Ready", "True" if ready else "False", reason, message),
    ]
    if situation.failure is not None:
        found.append(condition(observed, "Stalled", "True", reason, message))
    elif not ready:
        found.append(condition(observed, "Reconciling", "True", reason, message))
    if situation.stale is not None:
        text = explain_stale(situation.stale, situation.judging)
        found.append(condition(observed, VERDICT_STALE, "True", situation.stale.reason, text))
    if compares_all(snapshot):
        found.append(compared(snapshot, situation, observed))
    return found


def explain_stale(stale: Stale, step: StageResult | None) -> str:
    """Message of VerdictStale: what differs, how far it is evaluated again, and what to do."""
    again = ""
    if stale.again is not None:
        which = "Another engine" if stale.reason == NOT_PASSED else "It"
        again = f"{which} is evaluated again as soon as all pods answer and nothing else is under way."
        if step is not None and step.failure is not None:
            again = f"{which} cannot be evaluated again: {step.failure.message} {step.failure.action}".strip()
        elif step is not None:
            percent = step.progress.percent if step.progress is not None else None
            far = f" ({percent} %)" if percent is not None else ""
            again = f"{which} is evaluated again: {step.message.rstrip('.')}{far}."
    return " ".join(part for part in (stale.message, again, stale.action) if part)


def compared(snapshot: Snapshot, situation: Situation, observed: Subject) -> Condition:
    """How far the comparison of all candidates is."""
    declared = len(snapshot.model.body.spec.candidates)
    mine = [each.body.status for each in of_generation(snapshot).values()]
    done = sum(each.verdict is not None or each.failure is not None for each in mine)
    count = f"{done} of {declared} candidates are compared"
    step = situation.comparing
    if step is not None and step.failure is not None:
        why = f"{count}; {step.failure.message} {step.failure.action}".strip()
        return condition(observed, "Compared", "False", step.failure.reason, why)
    if step is not None:
        return condition(observed, "Compared", "False", "Comparing", f"{count}; {step.message}")
    if done == declared:
        return condition(observed, "Compared", "True", "Compared", f"{count}: see status.comparison")
    serving, first = snapshot.model.body.spec.serving, "a candidate is ready"
    if serving is not None and serving.revision is not None:
        first = "spec.serving.revision pins none any more"
    elif situation.judging is not None:
        first = "what serves is evaluated again"
    return condition(observed, "Compared", "False", "WaitingToCompare", f"{count}; the others follow once {first}")


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
    step = waiting or situation.comparing
    in_work = by_name(snapshot, step.revision) if step else None
    # Of candidates that are only compared the table tells: the verdict is that of what serves.
    shown = (in_work if waiting else None) or (situation.target.revision if situation.target else None)
    judged = shown if shown and shown.body.status.verdict else last_judged(snapshot)
    served = situation.serving
    if snapshot.deployment is None and is_served(snapshot, situation):
        served = situation.target  # this very step makes the Deployment
    current = served.revision if served and not served.source else None
    if spec.serving is None and situation.target is not None:
        current = situation.target.revision
    measured = shown_summary(snapshot, judged, old.evaluation)
    deployment = snapshot.deployment
    return QuantizedModelStatus(
        observed_generation=meta.generation,
        conditions=conditions(snapshot, situation, ready, reason, message, clock),
        stage=stage_of(snapshot, situation, ready),
        reason=reason,
        message=message if len(message) <= SHORT_MESSAGE else message[: SHORT_MESSAGE - 1] + "…",
        progress=_progress(step or situation.judging or situation.asking),
        current=kept(snapshot.model, "current", old.current, summary(current)),
        candidate=summary(in_work) if in_work is not current else None,
        verdict=kept(snapshot.model, "verdict", old.verdict, shown_verdict(judged, old.verdict)),
        evaluation=kept(snapshot.model, "evaluation", old.evaluation, measured),
        memory=memory(snapshot, shown, old.memory),
        running=kept(snapshot.model, "running", old.running, situation.running),
        comparison=comparison(snapshot),
        showcase=situation.answers or (old.showcase if spec.evaluation.showcase is not None else None),
        group_token=token_of(meta.name, spec),
        endpoint=f"http://{meta.name}.{meta.namespace}.svc/v1" if is_served(snapshot, situation) else None,
        replicas=deployment.replicas if deployment else 0,
        ready_replicas=deployment.ready if deployment else 0,
        selector=f"{MODEL_LABEL}={meta.name},app.kubernetes.io/component=serving" if spec.serving is not None else None,
        last_failure=_failure(old.last_failure, situation.failure or situation.setback or _beside(situation)),
    )


def is_served(snapshot: Snapshot, situation: Situation) -> bool:
    """Whether what serves is there, or made by this very step."""
    if snapshot.model.body.spec.serving is None:
        return False
    return snapshot.deployment is not None or (situation.target is not None and situation.waiting is None)


def _beside(situation: Situation) -> Failure | None:
    """What went wrong beside what serves: it is told, and stalls nothing."""
    steps = [step for step in (situation.comparing, situation.judging, situation.asking) if step is not None]
    return next((found for step in steps if (found := step.failure or step.setback) is not None), None)


def told(snapshot: Snapshot, status: QuantizedModelStatus) -> bool:
    """Whether the status that is there says whether this generation is Ready, and where it is."""
    old = snapshot.model.body.status
    ready = [next((c.status for c in each.conditions if c.type == "Ready"), None) for each in (old, status)]
    same = (old.stage, old.observed_generation) == (status.stage, status.observed_generation)
    return same and ready[0] == ready[1]


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
    if but_for_memory(snapshot.model.body.status, status):
        return None
    new = status.wire()
    if new == snapshot.model.body.status.wire():
        return None
    meta = snapshot.model.meta
    return WriteStatus("QuantizedModel", meta.name, meta.uid, meta.resource_version, new)


def attempted(verdict: VerdictRecord) -> str:
    """What is said of a verdict that is not the first one on its samples."""
    return (
        f"Attempt {verdict.attempts} on the same samples has {verdict.verdict}: each edit of the manifest is another "
        "chance to pass by luck. Judge the one that you keep on fresh samples, or set evaluation.attempts: Spend"
    )


def events(old: QuantizedModelStatus, new: QuantizedModelStatus) -> tuple[Event, ...]:
    """One event per stage, verdict, failure and setback, and for a verdict that has become stale."""
    found: list[Event] = []
    full = next((c.message for c in new.conditions if c.type == "Ready"), new.message or "")
    if new.verdict is not None and new.verdict != old.verdict:
        good = new.verdict.verdict == "Passed"
        found.append(Event("Normal" if good else "Warning", f"Gate{new.verdict.verdict}", new.verdict.message))
        if new.verdict.attempts > 1:
            found.append(Event("Warning", reason="RepeatedAttempt", message=attempted(new.verdict)))
    stale = next((c for c in new.conditions if c.type == VERDICT_STALE), None)
    if stale is not None and stale.reason not in {c.reason for c in old.conditions if c.type == VERDICT_STALE}:
        found.append(Event("Warning", VERDICT_STALE, stale.message))
    if new.stage == "Failed" and (new.last_failure != old.last_failure or old.stage != "Failed"):
        found.append(Event("Warning", new.reason or "Failed", full))
        return tuple(found)
    if new.last_failure is not None and new.last_failure != old.last_failure:
        # What failed is tried again.
        found.append(Event("Warning", new.last_failure.reason, new.last_failure.message))
    if new.stage != old.stage:
        found.append(Event("Normal", new.stage, full))
    found += _compared(old, new)
    return tuple(found)


def _compared(old: QuantizedModelStatus, new: QuantizedModelStatus) -> list[Event]:
    """One event once every candidate is compared."""
    done = [next((c for c in each.conditions if c.type == "Compared"), None) for each in (old, new)]
    if done[1] is None or done[1].status != "True" or (done[0] is not None and done[0].status == "True"):
        return []
    return [Event("Normal", "Compared", done[1].message)]
