"""The way of one generation: candidates in order of preference until one has passed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic.alias_generators import to_camel

from lowbit.api.evaluation import suite_of
from lowbit.api.modelrevision import ModelRevision
from lowbit.api.modelstore import ModelStoreSpec
from lowbit.api.status import Failure
from lowbit.decide.comparison import of_generation
from lowbit.decide.outcome import Clock, StageResult
from lowbit.decide.serving.serve import by_name
from lowbit.decide.serving.target import Target, passed
from lowbit.decide.stages.artifact import artifact, create_revision, not_allowed, prepare
from lowbit.decide.stages.candidate import moves_on, own_failure, recorded
from lowbit.decide.stages.evaluation import judge_revision
from lowbit.state.snapshot import Observed, Snapshot


@dataclass(frozen=True)
class Result:
    """What this generation asks to be served, or why there is nothing (yet)."""

    target: Target | None = None
    waiting: StageResult | None = None


def usable_store(snapshot: Snapshot) -> ModelStoreSpec | StageResult:
    """The ModelStore's spec, once it is there and Ready. Until then it is waited for: nothing here has to be mended."""
    name, namespace = snapshot.model.body.spec.store_ref, snapshot.model.meta.namespace
    if snapshot.store is None:
        message = (
            f"waiting for ModelStore {name}, which namespace {namespace} does not have yet: create it, or name another "
            f"one in spec.storeRef (kubectl get mstore -n {namespace})"
        )
        return StageResult("Pending", "StoreNotFound", message)
    ready = next((c for c in snapshot.store.body.status.conditions if c.type == "Ready"), None)
    if ready is None or ready.status == "Unknown":
        return StageResult(
            "Pending", "StoreNotReady", f"waiting for ModelStore {name}, which has not been looked at yet"
        )
    if ready.status == "False":
        return StageResult("Pending", "StoreNotReady", f"waiting for ModelStore {name}: {ready.message}")
    return snapshot.store.body.spec


def advance(snapshot: Snapshot, clock: Clock, store: ModelStoreSpec) -> Result:
    """One step on the way from the present spec to something that may be served."""
    serving = snapshot.model.body.spec.serving
    if serving is not None and serving.revision is not None:
        return pinned(snapshot, clock, serving.revision)
    mine = of_generation(snapshot)
    for candidate in range(len(snapshot.model.body.spec.candidates)):
        revision = mine.get(candidate)
        step = next_of(snapshot, clock, store, mine, candidate)
        if revision is not None and step is not None:
            if candidate == len(snapshot.model.body.spec.candidates) - 1 and own_failure(step) is not None:
                return exhausted(snapshot, clock, [mine[index] for index in sorted(mine)], step)
            step = before_the_next(step, revision)
        if step is not None:
            return Result(waiting=after(earlier(mine, candidate), step))
        if revision is not None and passed(revision):
            return Result(target=Target(revision))
    return exhausted(snapshot, clock, [mine[index] for index in sorted(mine)])


def next_of(
    snapshot: Snapshot, clock: Clock, store: ModelStoreSpec, mine: Mapping[int, Observed[ModelRevision]], candidate: int
) -> StageResult | None:
    """The next step for one candidate; None once it was judged. A failure of its own is recorded in its revision."""
    revision = mine.get(candidate)
    if revision is None:
        refused = not_allowed(snapshot, clock)
        if refused is not None:
            return refused
        prepared = prepare(snapshot, clock, store)
        return prepared if isinstance(prepared, StageResult) else create_revision(snapshot, clock, candidate, prepared)
    verdict = revision.body.status.verdict
    if verdict is None:
        step = _drive(snapshot, clock, store, revision)
        failed = own_failure(step)
        return step if failed is None else recorded(step, revision, failed, clock)
    if verdict.verdict == "Passed" and not passed(revision):
        # The artifact was wiped from the status, the verdict was not: find it again before anything is served.
        found = artifact(snapshot, clock, store, revision)
        return found if isinstance(found, StageResult) else None
    return None


def before_the_next(step: StageResult, revision: Observed[ModelRevision]) -> StageResult | None:
    """What is left to do for a candidate that has failed by its own fault; None if the next one may be tried."""
    failed = own_failure(step)
    return moves_on(step, revision, failed) if failed is not None else step


def _drive(snapshot: Snapshot, clock: Clock, store: ModelStoreSpec, revision: Observed[ModelRevision]) -> StageResult:
    record = artifact(snapshot, clock, store, revision)
    return record if isinstance(record, StageResult) else judge_revision(snapshot, clock, store, revision, record)


def earlier(mine: Mapping[int, Observed[ModelRevision]], candidate: int) -> Failure | None:
    """The failure of the candidate before this one."""
    before = mine.get(candidate - 1)
    return before.body.status.failure if before is not None else None


def after(failed: Failure | None, step: StageResult) -> StageResult:
    """A step of a candidate that is tried because the one before has failed: both are told."""
    return replace(step, setback=step.setback or failed) if failed is not None and step.failure is None else step


def pinned(snapshot: Snapshot, clock: Clock, name: str) -> Result:
    """A pinned revision is served as it is, if it is ours and has passed."""
    revision = by_name(snapshot, name)
    if revision is not None and passed(revision):
        return Result(target=Target(revision))
    known = [r.meta.name for r in snapshot.revisions if passed(r)]
    reason = "PinnedRevisionNotFound" if revision is None else "PinnedRevisionNotPassed"
    message = f"spec.serving.revision names {name}, which {'does not exist' if revision is None else 'has not passed'}."
    action = f"Write one that has passed ({', '.join(known) or 'there is none'}), or remove the field."
    failure = Failure(stage="Serve", reason=reason, message=message, action=action, revision=name, time=clock.text)
    return Result(waiting=StageResult.failed(failure))


def exhausted(
    snapshot: Snapshot, clock: Clock, revisions: list[Observed[ModelRevision]], last_step: StageResult | None = None
) -> Result:
    """No candidate has passed: say so, and fall back to the source only where that was asked for.

    last_step: of the last candidate, if it could be neither made nor measured.
    """
    words = [outcome(revision) for revision in revisions]
    if last_step is not None and last_step.failure is not None:
        before = f"No candidate has passed ({'; '.join(words[:-1])}). The last one: " if words[:-1] else ""
        told = last_step.failure.model_copy(update={"message": before + last_step.failure.message})
        waiting = replace(StageResult.failed(told), actions=last_step.actions, fact=last_step.fact)
        return _fallen_back(snapshot, revisions, replace(waiting, requeue_after=last_step.requeue_after))
    last = revisions[-1].body.status.verdict
    inconclusive = last is not None and last.verdict == "Inconclusive"
    reason = "GateInconclusive" if inconclusive else "GateFailed"
    message = f"no candidate has passed the gate ({'; '.join(words)})."
    action = (
        f"Raise {more_units(snapshot)}, with fresh held-out data in place of what was measured, or add a candidate."
        if inconclusive
        else "Add a candidate (more bits, smaller groups), use calibration data nearer to the task, or set a gate "
        "that fits."
    )
    failure = Failure(
        stage="Gate", reason=reason, message=message, action=action, revision=revisions[-1].meta.name,
        time=last.time if last is not None else clock.text,
    )  # fmt: skip
    return _fallen_back(snapshot, revisions, StageResult.failed(failure))


def _fallen_back(snapshot: Snapshot, revisions: list[Observed[ModelRevision]], waiting: StageResult) -> Result:
    serving = snapshot.model.body.spec.serving
    fallback = serving is not None and serving.fallback == "Source"
    return Result(target=Target(revisions[0], source=True) if fallback else None, waiting=waiting)


def outcome(revision: Observed[ModelRevision]) -> str:
    """What became of a candidate, for people."""
    status, name = revision.body.status, revision.body.spec.label
    if status.verdict is not None:
        return f"{name}: {status.verdict.verdict}, {status.verdict.message}"
    return f"{name}: {status.failure.reason}, {status.failure.message}" if status.failure is not None else name


def more_units(snapshot: Snapshot) -> str:
    """The fields that say how much the suites measure."""
    kinds = {suite_of(suite)[0] for suite in snapshot.model.body.spec.evaluation.suites}
    return " and ".join(sorted(f"evaluation.suites[].{kind.name}.{to_camel(kind.count_field)}" for kind in kinds))
