"""What the spec has moved on from: Jobs are cancelled, unfinished revisions and unused evaluations are given up."""

from __future__ import annotations

from lowbit.api.modelrevision import ModelRevision
from lowbit.decide.comparison import compares_all, of_generation
from lowbit.decide.others import own_job
from lowbit.decide.owners import owns, release
from lowbit.decide.remembered import baseline_of, input_hash, names_used
from lowbit.decide.serving.stale import names_needed as judged_again_names
from lowbit.decide.serving.target import passed
from lowbit.decide.stages.ask import names_needed as asking_names
from lowbit.naming.names import first_attempt, prepare_job_name, second_attempt
from lowbit.state.plan import Action, Delete
from lowbit.state.snapshot import JobView, Observed, Snapshot

REVISION_HISTORY = 10
"""Passed revisions of former inputs that are kept, so that one can be pinned again."""


def clean(snapshot: Snapshot) -> tuple[Action, ...]:
    """Actions that remove what nobody needs any more."""
    kept = kept_revisions(snapshot)
    actions: list[Action] = []
    for revision in snapshot.revisions:
        if revision.meta.name not in kept and not revision.meta.deleting:
            meta = revision.meta
            actions.append(Delete("ModelRevision", meta.name, meta.uid, meta.resource_version))
    revisions = [revision for revision in snapshot.revisions if revision.meta.name in kept]
    needed = needed_names(snapshot, revisions) | needed_again(snapshot) | asking_names(snapshot)
    open_ = open_baselines(revisions)
    for name in mine(snapshot, "ModelEvaluation"):
        if name in needed or perhaps_needed(snapshot, name, open_):
            continue
        evaluation = snapshot.evaluations.get(name)
        if evaluation is not None and owns(snapshot, evaluation.meta) and not evaluation.meta.deleting:
            actions.append(release(snapshot, "ModelEvaluation", evaluation.meta))
    for name in mine(snapshot, "Job"):
        if name in needed or perhaps_needed(snapshot, name, open_):
            continue
        job = own_job(snapshot, name)
        if job is not None and given_up(job) and owns(snapshot, job.meta):
            actions.append(release(snapshot, "Job", job.meta))
    return tuple(actions)


def mine(snapshot: Snapshot, kind: str) -> list[str]:
    """Names of the objects of a kind that name this QuantizedModel."""
    return sorted(name for each, name in snapshot.mine if each == kind)


def given_up(job: JobView) -> bool:
    """Whether a Job that nobody needs has to be deleted: one that has ended and goes by itself has not."""
    return not job.meta.deleting and (job.state in ("Pending", "Running") or not job.expires)


def kept_revisions(snapshot: Snapshot) -> set[str]:
    """Revisions of the present generation, served, pinned, or that may prove the same; and the last few that passed."""
    spec = snapshot.model.body.spec
    hash_ = input_hash(snapshot.model)
    present = [revision for revision in snapshot.revisions if revision.body.spec.input_hash == hash_]
    kept = {revision.meta.name for revision in present if not only_compared(snapshot, revision)}
    to_come = len(present) < len(spec.candidates)
    if to_come and not any(passed(revision) or revision.body.status.artifact is None for revision in present):
        # A changed threshold needs the very artifact that is being made for the former input: hours of a GPU. Only a
        # revision of the present input tells which artifact it needs, so nothing is given up before there is one.
        kept |= {revision.meta.name for revision in snapshot.revisions if under_way(revision)}
    if snapshot.deployment is not None and snapshot.deployment.revision:
        kept.add(snapshot.deployment.revision)
    if spec.serving is not None and spec.serving.revision:
        kept.add(spec.serving.revision)
    history = [revision.meta.name for revision in snapshot.revisions if passed(revision)]
    return kept | set(history[-REVISION_HISTORY:])


def only_compared(snapshot: Snapshot, revision: Observed[ModelRevision]) -> bool:
    """Whether a revision of the present input was begun for a comparison that is not asked for any more."""
    if compares_all(snapshot) or revision.body.status.verdict is not None:
        return False
    before = [each for candidate, each in of_generation(snapshot).items() if candidate < revision.body.spec.candidate]
    return any(passed(each) for each in before)


def under_way(revision: Observed[ModelRevision]) -> bool:
    """Its artifact is still being made."""
    return revision.body.status.artifact is None and not revision.meta.deleting


def needed_names(snapshot: Snapshot, revisions: list[Observed[ModelRevision]]) -> set[str]:
    """Names of the Jobs and evaluations that these revisions, and the present input, use."""
    prepare = prepare_job_name(snapshot.model.meta.name, input_hash(snapshot.model))
    return {prepare, second_attempt(prepare)}.union(*map(names_used, revisions))


def needed_again(snapshot: Snapshot) -> frozenset[str]:
    """Names of the Jobs and evaluations that judge again what serves. Where there are none, nothing is compared."""
    seen = (snapshot.evaluations.get(name) for kind, name in snapshot.mine if kind == "ModelEvaluation")
    if not any(each is not None and each.body.spec.place is not None for each in seen):
        return frozenset()
    return judged_again_names(snapshot)


def open_baselines(revisions: list[Observed[ModelRevision]]) -> set[str]:
    """Names of the baselines of revisions whose artifact is not known (yet, or any more): status is a memory."""
    return {baseline_of(revision).name for revision in revisions if revision.body.status.artifact is None}


def perhaps_needed(snapshot: Snapshot, name: str, open_: set[str]) -> bool:
    """Whether it is, or measures, an evaluation that a revision may need whose artifact is not known."""
    if not open_:
        return False
    seen = (snapshot.evaluations.get(each) for each in (name, first_attempt(name)))
    return any(each is not None and each.body.spec.baseline in open_ for each in seen)
