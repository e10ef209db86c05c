"""What is under a name of ours and is not ours, or not yet: it is never changed, and said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lowbit.api.stages import EVALUATE, FETCH, PREPARE, STAGES, StageKind
from lowbit.api.status import Failure
from lowbit.decide.outcome import Clock, StageResult
from lowbit.decide.remembered import is_named_by_content
from lowbit.naming.names import INPUT_ANNOTATION, MANAGED_BY, MANAGED_BY_LABEL, STAGE_LABEL
from lowbit.state.plan import Action, Apply, Create
from lowbit.state.snapshot import JobView, Owner, Snapshot

OWN_KINDS: Mapping[str, StageKind] = {"ModelRevision": PREPARE, "ModelEvaluation": EVALUATE}
"""The stages that make objects of Lowbit's own kinds."""


@dataclass(frozen=True)
class NameConflict:
    """Why a name cannot be used."""

    why: str
    transient: bool = False
    """It clears by itself."""


Taken = Mapping[tuple[str, str], NameConflict]
"""Why names cannot be used, by kind and name."""


def whose(snapshot: Snapshot, labels: Mapping[str, str], owners: tuple[Owner, ...]) -> NameConflict | None:
    """Whose an object is, where it is not this QuantizedModel's (or shared, which has no controller)."""
    if labels.get(MANAGED_BY_LABEL) != MANAGED_BY:
        return NameConflict(f"it has no label {MANAGED_BY_LABEL}={MANAGED_BY}")
    return controlled(snapshot, owners)


def controlled(snapshot: Snapshot, owners: tuple[Owner, ...]) -> NameConflict | None:
    """Which other object controls it."""
    me = snapshot.model.meta
    other = next((owner for owner in owners if owner.controller and owner.uid != me.uid), None)
    if other is None:
        return None
    former = (other.kind, other.name) == ("QuantizedModel", me.name)
    return NameConflict(f"it belongs to {'a former ' if former else ''}{other.kind} {other.name}", transient=former)


def own_job(snapshot: Snapshot, name: str, hash_: str | None = None) -> JobView | None:
    """The Job of that name, if it is Lowbit's and was made for that input; None as hash_: for any input."""
    job = snapshot.jobs.get(name)
    return None if job is None or whose_job(snapshot, job, hash_) is not None else job


def whose_job(snapshot: Snapshot, job: JobView, hash_: str | None) -> NameConflict | None:
    """Why a Job is not believed. hash_: of the input that it should have been made for, None for any."""
    me, owners = snapshot.model.meta, job.meta.owners
    if (conflict := whose(snapshot, job.meta.labels, owners)) is not None:
        return conflict
    if not any(owner.kind == "QuantizedModel" for owner in owners):
        return NameConflict("no QuantizedModel owns it")
    if all(owner.name == me.name and owner.uid != me.uid for owner in owners):
        return NameConflict(f"it belongs to a former QuantizedModel {me.name}", transient=True)
    if hash_ is not None and job.meta.annotations.get(INPUT_ANNOTATION) != hash_:
        return NameConflict(f"its annotation {INPUT_ANNOTATION} does not name the input that is asked for")
    return None


def own(snapshot: Snapshot) -> tuple[Snapshot, dict[tuple[str, str], NameConflict]]:
    """The snapshot with this QuantizedModel's own revisions and children, and why the names of the others are taken."""
    taken: dict[tuple[str, str], NameConflict] = {}
    foreign: dict[tuple[str, str], NameConflict] = {}
    for seen in snapshot.revisions:
        # Revisions are Lowbit's by their kind: no label is asked for.
        if (other := controlled(snapshot, seen.meta.owners)) is not None:
            foreign["ModelRevision", seen.meta.name] = other
        elif not is_named_by_content(seen):
            foreign["ModelRevision", seen.meta.name] = NameConflict("its name does not follow from its content")
        elif seen.meta.deleting:
            taken["ModelRevision", seen.meta.name] = NameConflict("it is being deleted", transient=True)
    for reference, manifest in snapshot.children.items():
        metadata = manifest["metadata"]
        if _controls(snapshot.model.meta.uid, metadata):
            continue  # ours, even where a hand has taken the label off: it is put back
        if reference[0] == "StatefulSet" and any(_controls(pod.meta.uid, metadata) for pod in snapshot.pods):
            continue  # the followers of a pod of ours
        if (other := whose(snapshot, metadata.get("labels") or {}, _owners(metadata))) is not None:
            foreign[reference] = other
    if not foreign:
        return snapshot, taken
    deployment = None if ("Deployment", snapshot.model.meta.name) in foreign else snapshot.deployment
    return replace(
        snapshot,
        revisions=tuple(seen for seen in snapshot.revisions if ("ModelRevision", seen.meta.name) not in foreign),
        children={reference: child for reference, child in snapshot.children.items() if reference not in foreign},
        deployment=deployment,
    ), taken | foreign


def without_taken(
    snapshot: Snapshot, actions: tuple[Action, ...], taken: Taken, clock: Clock
) -> tuple[tuple[Action, ...], StageResult | None]:
    """The actions less those whose name is taken; and, where there was one, what to say of it."""
    left: list[Action] = []
    said: StageResult | None = None
    for action in actions:
        other = _taken(snapshot, action, taken)
        if other is None:
            left.append(action)
        elif isinstance(action, (Create, Apply)) and said is None:
            said = _say(action.manifest, other, clock)
    return tuple(left), said


def _taken(snapshot: Snapshot, action: Action, taken: Taken) -> NameConflict | None:
    if not isinstance(action, (Create, Apply)):
        return None
    kind, name = str(action.manifest["kind"]), str(action.manifest["metadata"]["name"])
    if kind == "Job" and (job := snapshot.jobs.get(name)) is not None:
        asked = action.manifest["metadata"].get("annotations") or {}
        return whose_job(snapshot, job, asked.get(INPUT_ANNOTATION))
    if kind == "ModelEvaluation" and (why := snapshot.unreadable.get(name)) is not None:
        return NameConflict(f"this version of Lowbit cannot read it: {why}")
    if kind == "ModelEvaluation" and (seen := snapshot.evaluations.get(name)) is not None:
        return None if seen.body.spec.wire() == action.manifest["spec"] else NameConflict("it is of something else")
    return taken.get((kind, name))


def _say(manifest: Mapping[str, Any], taken: NameConflict, clock: Clock) -> StageResult:
    kind, metadata = str(manifest["kind"]), manifest["metadata"]
    about = f"{kind} {metadata['name']}"
    stage = stage_of(kind, metadata["labels"])
    if taken.transient:
        return StageResult(stage.status, "Restarting", f"waiting until {about} is gone, to make it anew: {taken.why}")
    message = f"{about} is there already, and {taken.why}. Lowbit changes nothing that is not its own."
    action = f"Delete or rename it (kubectl describe {kind.lower()} {metadata['name']} shows whose it is)."
    failure = Failure(stage=stage.title, reason="NameTaken", message=message, action=action, time=clock.text)
    return StageResult.failed(failure)


def stage_of(kind: str, labels: Mapping[str, str]) -> StageKind:
    """Which stage an object is made for; all that is no Job's and not Lowbit's own kind serves."""
    if (job := labels.get(STAGE_LABEL)) is not None:
        return STAGES[job]
    return OWN_KINDS.get(kind, FETCH)


def _controls(uid: str, metadata: Mapping[str, Any]) -> bool:
    for each in metadata.get("ownerReferences") or ():  # noqa: SIM110 - any() costs twice as much, for every child each time
        if each.get("controller") and each["uid"] == uid:
            return True
    return False


def _owners(metadata: Mapping[str, Any]) -> tuple[Owner, ...]:
    return tuple(
        Owner(each["kind"], each["name"], each["uid"], bool(each.get("controller")))
        for each in metadata.get("ownerReferences") or ()
    )
