"""What became of a Job: on its way, done, to be tried once more (killed, or with more memory), or failed for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lowbit.api.documents import EXIT_REFUSED
from lowbit.api.engines import engine_of, field_path
from lowbit.api.stages import EVALUATE
from lowbit.api.status import Failure, Progress
from lowbit.api.termination import TerminationMessage
from lowbit.decide import engines
from lowbit.decide.jobs.failure import explain, failure_of, killed
from lowbit.decide.jobs.heldup import HELD_UP, held_up
from lowbit.decide.jobs.later import later, may_pass, next_attempt
from lowbit.decide.jobs.lingering import wind_up
from lowbit.decide.jobs.memory import larger_memory
from lowbit.decide.jobs.queued import queue_changed, queue_of, queued
from lowbit.decide.jobs.request import JobRequest, Said, lasting, running, waiting
from lowbit.decide.jobs.result import finished
from lowbit.decide.nodes import lacking, waits
from lowbit.decide.others import own_job
from lowbit.decide.outcome import Clock, StageResult, failure_of_problems
from lowbit.decide.owners import adopt
from lowbit.decide.stuck import of_job, to_read
from lowbit.desired.context import JobRun
from lowbit.desired.jobs.document import DocumentTooLarge
from lowbit.naming.canonical import digest, short
from lowbit.naming.names import (
    ATTEMPT_ANNOTATION,
    INPUT_ANNOTATION,
    MADE_FOR_ANNOTATION,
    SETTINGS_ANNOTATION,
    second_attempt,
)
from lowbit.resolve.checks import check_job
from lowbit.state.plan import Action, Create, Delete, Keep, ReadLog, ReadStart
from lowbit.state.snapshot import JobView, Snapshot

MENDED_SECONDS = 600
"""From a failure of HELD_UP, which goes away by what somebody does elsewhere, to the next try."""


def run(snapshot: Snapshot, clock: Clock, request: JobRequest) -> TerminationMessage | StageResult:
    """The Job's result; or what is to be done and said until there is one."""
    first, second = (own_job(snapshot, each, request.hash) for each in (request.name, second_attempt(request.name)))
    job = second or first
    if job is None:
        run_ = _run_of(snapshot, clock, request, request.name)
        started = _create(snapshot, clock, request, run_, Said(request.stage, request.doing))
        # In the words that will be said of it when it is seen: the status is written once for both.
        return replace(started, progress=Progress(message=request.doing))
    if job.meta.deleting:
        return waiting(request, "Restarting", f"{request.doing}: the last Job is going away", requeue=5.0)
    if job.lingering is not None:
        return wind_up(clock, request, job, job.lingering)
    if job.state == "Succeeded":
        return finished(clock, request, job)
    adoption = adopt(snapshot, "Job", job.meta)
    setback = explain(clock, request, first) if second is not None and first is not None else None
    if job.state == "Failed":
        return _failed(snapshot, clock, request, (first, second), adoption)
    if engines.given_up(job) is not None:
        return lasting(request, _told(explain(clock, request, job), job), adoption)
    if job.suspended:
        return _queued(snapshot, clock, request, job, queued(snapshot, request, job, adoption, setback))
    stuck = of_job(clock, job, request.needs, lacking(request.group, (*job.pods, *job.members), snapshot.nodes))
    if stuck is not None and stuck.cause.lasting and _settings_changed(snapshot, request, job):
        return _anew(request, [each for each in (first, second) if each is not None])
    step = _on_its_way(request, job, adoption, setback, clock)
    if stuck is None or step.failure is not None:
        return step
    return held_up(clock, request, job, stuck, step)


def _failed(
    snapshot: Snapshot,
    clock: Clock,
    request: JobRequest,
    attempts: tuple[JobView | None, JobView | None],
    adoption: tuple[Action, ...],
) -> StageResult:
    """What follows on a failed Job: one more attempt, later, or what somebody has to do."""
    tried = [each for each in attempts if each is not None]
    job = tried[-1]
    failure = explain(clock, request, job)
    tried_enough = len(tried) > 1 or attempts[0] is None or engines.given_up(job) is not None
    if not tried_enough and (again := _try_again(snapshot, clock, request, job)) is not None:
        return replace(again, setback=failure)
    if _settings_changed(snapshot, request, job):
        return replace(_anew(request, tried), setback=failure)
    if failure.reason in HELD_UP:
        return _until_mended(request, failure, clock, tried, adoption)
    keep = (Keep(job.meta.name, job.meta.uid, job.meta.resource_version),) if job.expires else ()
    if engines.given_up(job) is None and may_pass(job, failure):
        return later(request, failure, clock, tried, adoption or keep)
    return lasting(request, failure, adoption or keep)


def _queued(snapshot: Snapshot, clock: Clock, request: JobRequest, job: JobView, waits: StageResult) -> StageResult:
    """A suspended Job waits; or is made anew with the present settings and queue, because nothing of it is lost."""
    if any(not pod.meta.deleting for pod in job.pods) or not _made_for(snapshot, job):
        return waits
    try:
        made_now = request.make(_run_of(snapshot, clock, request, job.meta.name))
    except DocumentTooLarge:
        return waits
    if not queue_changed(job, made_now) and not _settings_changed(snapshot, request, job):
        return waits
    message = f"{request.doing}: made anew, its queue or {request.kind.field} has changed while it waited"
    return waiting(request, "SettingsChanged", message, actions=_away([job]))


def _on_its_way(
    request: JobRequest, job: JobView, adoption: tuple[Action, ...], setback: Failure | None, clock: Clock
) -> StageResult:
    """A Job that runs, or will. Report an engine that ended once its log was read; give it up the third time."""
    pods = (*job.pods, *job.members)
    ended, unread = engines.last_end(pods), engines.unread(pods)
    to_read_once: tuple[ReadLog | ReadStart, ...] = (*unread, *engines.starts(job.pods))
    on_its_way = replace(
        running(request, job, adoption), setback=setback, read_logs=to_read_once, read_events=to_read(clock, job),
        read_nodes=request.group is not None and waits((*job.pods, *job.members)),
    )  # fmt: skip
    if ended is None:
        return on_its_way
    if ended.count >= engines.RESTARTS_THAT_LAST:
        refusal, end = engines.give_up(job, ended, request.engine)
        return lasting(request, failure_of(request, refusal, job, clock), (*adoption, end))
    told = engines.restarted(ended, request.kind.title, request.revision, clock, job.meta.name)
    if ended.engine.ready:
        return replace(on_its_way, setback=told)
    message = f"{request.doing}: {told.message}"
    return replace(
        on_its_way, reason=told.reason, message=message, progress=Progress(message=told.message), setback=told
    )


def latest(snapshot: Snapshot, name: str, hash_: str) -> JobView | None:
    """The Job of that name for that input, or its second attempt."""
    return own_job(snapshot, second_attempt(name), hash_) or own_job(snapshot, name, hash_)


def _run_of(snapshot: Snapshot, clock: Clock, request: JobRequest, name: str, memory: str | None = None) -> JobRun:
    ttl = snapshot.model.body.spec.jobs.ttl_seconds
    return JobRun(name, request.options, ttl, memory, queue_of(snapshot, clock))


def _create(snapshot: Snapshot, clock: Clock, request: JobRequest, run_: JobRun, said: Said) -> StageResult:
    refused = check_job(request.kind, request.options, snapshot.platform)
    if refused:
        return lasting(request, failure_of_problems(request.kind.title, refused, clock, request.revision), ())
    try:
        manifest = request.make(run_)
    except DocumentTooLarge as error:
        failure = Failure(
            stage=request.kind.title, reason="DocumentTooLarge", message=f"{error}.", revision=request.revision,
            action=f"Shorten {request.engine or field_path(snapshot.model.body.spec.engine)}.env and args: what is "
            "long belongs into a ConfigMap or the image. Or shorten the prompts of evaluation.showcase.",
            time=clock.text,
        )  # fmt: skip
        return lasting(request, failure, ())
    marks = {
        INPUT_ANNOTATION: request.hash,
        MADE_FOR_ANNOTATION: snapshot.model.meta.name,
        SETTINGS_ANNOTATION: _settings(snapshot, request),
    }
    if (attempt := next_attempt(snapshot, clock, request.name)) > 1:
        marks[ATTEMPT_ANNOTATION] = str(attempt)
    missing = (each for each in request.beside if (each["kind"], each["metadata"]["name"]) not in snapshot.present)
    beside = [Create(each) for each in missing]
    return waiting(request, said.reason, said.message, actions=[*beside, Create(_annotated(manifest, marks))])


def _annotated(manifest: Mapping[str, Any], more: Mapping[str, str]) -> dict[str, Any]:
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), **more}}}


def _settings(snapshot: Snapshot, request: JobRequest) -> str:
    """Hash of what the manifest says on how the Job runs."""
    spec = snapshot.model.body.spec
    settings = engine_of(spec.original_engine if request.engine == spec.original_field else spec.engine)[1]
    engine = {"resources": settings.resources, "shm_size": settings.shm_size} if request.kind is EVALUATE else None
    return short(digest("settings", {"options": request.options, "engine": engine}))


def _settings_changed(snapshot: Snapshot, request: JobRequest, job: JobView) -> bool:
    """Whether the manifest lets a failed Job run with other settings now.

    Ask only the manifest that it was made for: two models that share a Job, and differ, would recreate it for ever.
    """
    marks = job.meta.annotations
    changed = SETTINGS_ANNOTATION in marks and marks[SETTINGS_ANNOTATION] != _settings(snapshot, request)
    return changed and _made_for(snapshot, job)


def _made_for(snapshot: Snapshot, job: JobView) -> bool:
    """Whether a Job has the settings of this model's manifest; or of one that uses it no more."""
    made_for = job.meta.annotations.get(MADE_FOR_ANNOTATION)
    return made_for == snapshot.model.meta.name or made_for not in {owner.name for owner in job.meta.owners}


def _anew(request: JobRequest, jobs: Sequence[JobView]) -> StageResult:
    message = f"{request.doing}: tried again, {request.kind.field} has changed since it failed"
    return waiting(request, "SettingsChanged", message, actions=_away(jobs))


def _away(jobs: Sequence[JobView]) -> list[Action]:
    return [Delete("Job", job.meta.name, job.meta.uid, job.meta.resource_version) for job in jobs]


def _until_mended(
    request: JobRequest, failure: Failure, clock: Clock, jobs: Sequence[JobView], adoption: tuple[Action, ...]
) -> StageResult:
    """A failure that a person mends where nobody tells us of it: told as one, and tried again now and then. The stage
    looks first whether it is mended, so that costs little.
    """
    job = jobs[-1]
    told = _told(failure, job)
    left = MENDED_SECONDS - clock.seconds_since(job.finished)
    if left > 0:
        return replace(lasting(request, told, adoption), requeue_after=left)
    again = f"{request.doing}: tried again, it may be mended by now: {failure.message}"
    return replace(waiting(request, "TryingAgain", again, actions=_away(jobs)), setback=told)


def _told(failure: Failure, job: JobView) -> Failure:
    """The failure, with when it is tried again."""
    if failure.reason not in HELD_UP:
        return failure
    minutes = f"It is tried again every {MENDED_SECONDS // 60} minutes; at once where Job {job.meta.name} is deleted."
    return failure.model_copy(update={"action": f"{failure.action.removesuffix('.')}. {minutes}"})


def _try_again(snapshot: Snapshot, clock: Clock, request: JobRequest, job: JobView) -> StageResult | None:
    """The one further attempt, where there may be one."""
    memory = larger_memory(request.options) if job.out_of_memory == "worker" else None
    if memory is not None:
        said = Said("OutOfMemory", f"{request.doing}: out of memory; tried once more with {memory}")
    elif killed(job):
        said = Said("WorkerKilled", f"{request.doing}: the worker was killed; tried once more")
    elif job.lived_on and job.exit_code != EXIT_REFUSED:
        # Kubernetes tries again when a pod has failed; this one only ended when we ended its Job.
        said = Said("JobFailed", f"{request.doing}: the worker ended with exit code {job.exit_code}; tried once more")
    else:
        return None
    run_ = _run_of(snapshot, clock, request, second_attempt(request.name), memory)
    return _create(snapshot, clock, request, run_, said)
