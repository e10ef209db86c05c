"""evaluation.compare: All. Beside what serves, the candidates after it are made and measured, too.

It begins once the first candidate that has passed is served, holds nothing up, and gives its GPUs back where a pod
that is to serve fits on no node.
"""

from __future__ import annotations

from collections.abc import Iterable

from lowbit.api.modelrevision import ModelRevision
from lowbit.api.modelstore import ModelStoreSpec
from lowbit.decide.comparison import of_generation
from lowbit.decide.others import own_job
from lowbit.decide.outcome import Clock, StageResult
from lowbit.decide.owners import owns, release
from lowbit.decide.remembered import names_used
from lowbit.decide.serving.pods import not_ready
from lowbit.decide.serving.target import Target
from lowbit.decide.stages.pipeline import before_the_next, next_of
from lowbit.state.plan import Action
from lowbit.state.snapshot import Observed, Snapshot


def compare_the_rest(snapshot: Snapshot, clock: Clock, store: ModelStoreSpec, target: Target) -> StageResult | None:
    """The next step for the candidates after the one that serves; None once each was judged or has failed."""
    mine = of_generation(snapshot)
    for candidate in range(target.revision.body.spec.candidate + 1, len(snapshot.model.body.spec.candidates)):
        step = next_of(snapshot, clock, store, mine, candidate)
        revision = mine.get(candidate)
        if revision is not None and step is not None:
            step = before_the_next(step, revision)
        if step is not None:
            return step
    return None


def compared_beside(snapshot: Snapshot, target: Target) -> frozenset[str]:
    """Names of the Jobs of later candidates."""
    later = [each for each in of_generation(snapshot).values() if _is_after(each, target)]
    return frozenset[str]().union(*map(names_used, later)) - names_used(target.revision)


def make_room(snapshot: Snapshot, target: Target, beside: Iterable[str]) -> tuple[Action, ...]:
    """Give up Jobs that run beside, while a pod that is to serve fits on no node; they are made again later.

    beside: their names.
    """
    if not any(pod.unschedulable for pod in not_ready(snapshot, target.label)):
        return ()
    jobs = [job for name in sorted(beside) if (job := own_job(snapshot, name)) is not None]
    return tuple(
        release(snapshot, "Job", job.meta)
        for job in jobs
        if job.state in ("Pending", "Running") and not job.meta.deleting and owns(snapshot, job.meta)
    )


def _is_after(revision: Observed[ModelRevision], target: Target) -> bool:
    return revision.body.spec.candidate > target.revision.body.spec.candidate and revision.body.status.verdict is None
