"""What became of a Job: still on its way, done, to be tried once more (killed, or with more memory), or failed for good."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from lowbit.api.documents import EXIT_REFUSED
from lowbit.api.engines import engine_of, place
from lowbit.api.logged import LoggedResult
from lowbit.api.pods import JobOptions
from lowbit.api.stages import EVALUATE, StageKind
from lowbit.api.status import Failure, Progress, Stage
from lowbit.api.termination import Refusal, TerminationMessage
from lowbit.decide import engines
from lowbit.decide.jobs.memory import larger_memory
from lowbit.decide.others import own_job
from lowbit.decide.outcome import Clock, StageResult
from lowbit.decide.owners import adopt
from lowbit.desired.context import JobRun
from lowbit.desired.jobs.document import DocumentTooLarge
from lowbit.desired.jobs.job import EXIT_KILLED
from lowbit.naming.canonical import digest, short
from lowbit.naming.names import MADE_FOR_ANNOTATION, SETTINGS_ANNOTATION, second_attempt
from lowbit.state.plan import Action, Create, Delete, Keep, ReadResult
from lowbit.state.snapshot import JobView, PodView, Snapshot

UNSEEN_RESULT_SECONDS = 5.0
"""A finished Job whose pod is not seen yet is given so long, before that is told."""
UNREADABLE_RESULT_SECONDS = 60
"""And so long, before it is made again."""
PROGRESS_SECONDS = 30

MENDED_ELSEWHERE = ("NoSpace",)
"""Reasons that go away by what somebody does to something that is not watched here."""
MENDED_SECONDS = 600
"""From such a failure to the next try."""

WAITING_IS_WRONG = (
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CrashLoopBackOff",
)

REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
"""What Kubernetes takes as the reason of a condition."""

MakeJob = Callable[[JobRun], dict[str, Any]]
"""From how a Job runs to its manifest."""


@dataclass(frozen=True)
class JobRequest:
    """A Job that somebody needs the result of."""

    name: str
    kind: StageKind
    stage: Stage
    """Where the QuantizedModel is meanwhile."""
    doing: str
    """What it does, for people: "quantizing support-chat-0a1b2c3d4e to gptq-int4-g64"."""
    options: JobOptions
    make: MakeJob
    engine: str = ""
    """Where the manifest says what its engine is, where it has one: spec.engine.vllm."""
    revision: str | None = None


def run(snapshot: Snapshot, clock: Clock, request: JobRequest) -> TerminationMessage | StageResult:
    """The Job's result; or what is to be done and said until there is one."""
    first, second = own_job(snapshot, request.name), own_job(snapshot, second_attempt(request.name))
    job = second or first
    if job is None:
        started = _create(
            snapshot, clock, request, _run_of(snapshot, request, request.name), Said(request.stage, request.doing)
        )
        # In the words that will be said of it when it is seen: the status is written once for both.
        return replace(started, progress=Progress(message=request.doing))
    if job.meta.deleting:
        return _waiting(request, "Restarting", f"{request.doing}: the last Job is going away", requeue=5.0)
    if job.state == "Succeeded":
        return _finished(clock, request, job)
    adoption = adopt(snapshot, "Job", job.meta)
    setback = explain(clock, request, first) if second is not None and first is not None else None
    if job.state == "Failed":
        failure = explain(clock, request, job)
        tried_enough = second is not None or engines.given_up(job) is not None
        if not tried_enough and (again := _try_again(snapshot, clock, request, job)) is not None:
            return replace(again, setback=failure)
        if _settings_changed(snapshot, request, job):
            return replace(_anew(request, [each for each in (first, second) if each is not None]), setback=failure)
        if failure.reason in MENDED_ELSEWHERE:
            tried = [each for each in (first, second) if each is not None]
            return _until_mended(request, failure, clock, tried, adoption)
        keep = (Keep(job.meta.name, job.meta.uid, job.meta.resource_version),) if job.expires else ()
        return _lasting(request, failure, adoption or keep)
    if engines.given_up(job) is not None:
        return _lasting(request, explain(clock, request, job), adoption)
    return _on_its_way(request, job, adoption, setback, clock)


def _on_its_way(
    request: JobRequest, job: JobView, adoption: tuple[Action, ...], setback: Failure | None, clock: Clock
) -> StageResult:
    """A Job that runs, or will. Of an engine that has ended it is told once its log was read; the third time it is given up."""
    ended, unread = engines.last_end(job.pods), engines.unread(job.pods)
    running = replace(_running(request, job, adoption), setback=setback, read_logs=unread)
    if ended is None:
        return running
    if ended.count >= engines.RESTARTS_THAT_LAST:
        refusal, end = engines.give_up(job, ended, request.engine)
        return _lasting(request, _failure(request, refusal, job, clock), (*adoption, end))
    told = engines.restarted(ended, request.kind.title, request.revision, clock, job.meta.name)
    if ended.engine.ready or running.reason == "WaitingForPod":
        return replace(running, setback=told)
    message = f"{request.doing}: {told.message}"
    return replace(running, reason=told.reason, message=message, progress=Progress(message=told.message), setback=told)


def latest(snapshot: Snapshot, name: str) -> JobView | None:
    """The Job of that name, or its second attempt."""
    return own_job(snapshot, second_attempt(name)) or own_job(snapshot, name)


def _waiting(
    request: JobRequest, reason: str, message: str, *, actions: Any = (), requeue: float | None = None
) -> StageResult:
    return StageResult(
        stage=request.stage, reason=reason, message=message, actions=tuple(actions), requeue_after=requeue,
        revision=request.revision,
    )  # fmt: skip


class Said(NamedTuple):
    """Reason and message of what is told."""

    reason: str
    message: str


def _run_of(snapshot: Snapshot, request: JobRequest, name: str, memory: str | None = None) -> JobRun:
    return JobRun(name, request.options, snapshot.model.body.spec.jobs.ttl_seconds, memory)


def _create(snapshot: Snapshot, clock: Clock, request: JobRequest, run_: JobRun, said: Said) -> StageResult:
    try:
        manifest = request.make(run_)
    except DocumentTooLarge as error:
        failure = Failure(
            stage=request.kind.title, reason="DocumentTooLarge", message=f"{error}.", revision=request.revision, time=clock.text,
            action=f"Shorten {place(snapshot.model.body.spec.engine)}.env and args: what is long belongs into a ConfigMap or the image.",
        )  # fmt: skip
        return _lasting(request, failure, ())
    whose = {MADE_FOR_ANNOTATION: snapshot.model.meta.name, SETTINGS_ANNOTATION: _settings(snapshot, request)}
    return _waiting(request, said.reason, said.message, actions=[Create(_annotated(manifest, whose))])


def _annotated(manifest: Mapping[str, Any], more: Mapping[str, str]) -> dict[str, Any]:
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), **more}}}


def _settings(snapshot: Snapshot, request: JobRequest) -> str:
    """Hash of what the manifest says on how the Job runs."""
    settings = engine_of(snapshot.model.body.spec.engine)[1]
    engine = {"resources": settings.resources, "shm_size": settings.shm_size} if request.kind is EVALUATE else None
    return short(digest("settings", {"options": request.options, "engine": engine}))


def _settings_changed(snapshot: Snapshot, request: JobRequest, job: JobView) -> bool:
    """Whether the manifest lets a failed Job run otherwise now. Only the manifest that it was made for is asked: two that
    share a Job, and differ, would make it anew for ever."""
    marks, me = job.meta.annotations, snapshot.model.meta.name
    users = {owner.name for owner in job.meta.owners}
    mine = marks.get(MADE_FOR_ANNOTATION) == me or marks.get(MADE_FOR_ANNOTATION) not in users
    return mine and SETTINGS_ANNOTATION in marks and marks[SETTINGS_ANNOTATION] != _settings(snapshot, request)


def _anew(request: JobRequest, jobs: Sequence[JobView]) -> StageResult:
    message = f"{request.doing}: tried again, {request.kind.field} has changed since it failed"
    return _waiting(request, "SettingsChanged", message, actions=_away(jobs))


def _away(jobs: Sequence[JobView]) -> list[Action]:
    return [Delete("Job", job.meta.name, job.meta.uid, job.meta.resource_version) for job in jobs]


def _until_mended(
    request: JobRequest, failure: Failure, clock: Clock, jobs: Sequence[JobView], adoption: tuple[Action, ...]
) -> StageResult:
    """A failure that a person mends where nobody tells us of it: told as one, and tried again now and then. The stage
    looks first whether it is mended, so that costs little.
    """
    job = jobs[-1]
    minutes = f"It is tried again every {MENDED_SECONDS // 60} minutes; at once where Job {job.meta.name} is deleted."
    told = failure.model_copy(update={"action": f"{failure.action.removesuffix('.')}. {minutes}"})
    left = MENDED_SECONDS - clock.seconds_since(job.finished)
    if left > 0:
        return replace(_lasting(request, told, adoption), requeue_after=left)
    again = f"{request.doing}: tried again, it may be mended by now: {failure.message}"
    return replace(_waiting(request, "TryingAgain", again, actions=_away(jobs)), setback=told)


def _lasting(request: JobRequest, failure: Failure, actions: tuple[Action, ...]) -> StageResult:
    return StageResult(
        stage="Failed", reason=f"{request.kind.title}Failed", message=f"{failure.message} {failure.action}".strip(),
        actions=actions, failure=failure, revision=request.revision,
    )  # fmt: skip


def _finished(clock: Clock, request: JobRequest, job: JobView) -> TerminationMessage | StageResult:
    if job.termination is not None and job.termination.logged is not None:
        return _reading(clock, request, job, job.termination.logged)
    if job.termination is not None:
        return job.termination
    if job.exit_code is not None:
        # It ended well before our eyes and left nothing that can be read: to run it again would go on for ever.
        return TerminationMessage()
    message = f"{request.doing}: Job {job.meta.name} has finished, its result is not seen yet"
    if clock.seconds_since(job.finished) < UNSEEN_RESULT_SECONDS:
        # Pods are told by a watch of their own, as a rule a moment later: that is nothing to tell anybody.
        return replace(_running(request, job, ()), requeue_after=UNSEEN_RESULT_SECONDS, watch_progress=())
    if clock.seconds_since(job.finished) < UNREADABLE_RESULT_SECONDS:
        return _waiting(request, "ReadingResult", message, requeue=5.0)
    again = Delete("Job", job.meta.name, job.meta.uid, job.meta.resource_version)
    return _waiting(request, "ReadingResult", f"{message}; made again, what is in the store is used", actions=[again])


def _reading(clock: Clock, request: JobRequest, job: JobView, logged: LoggedResult) -> StageResult:
    """The result is in the log. One that cannot be read is asked for once more, by another Job: the store has it."""
    message = f"{request.doing}: reading the result in the log of pod {job.finished_pod}"
    if job.result_unread is None:
        wanted = (ReadResult(job.finished_pod or "", logged),)
        return replace(_waiting(request, "ReadingResult", message, requeue=float(PROGRESS_SECONDS)), read_logs=wanted)
    message = f"{message} failed: {job.result_unread}"
    if clock.seconds_since(job.finished) < UNREADABLE_RESULT_SECONDS:
        return _waiting(request, "ReadingResult", message, requeue=5.0)
    again = Delete("Job", job.meta.name, job.meta.uid, job.meta.resource_version)
    return _waiting(request, "ReadingResult", f"{message}; made again, what is in the store is used", actions=[again])


def _try_again(snapshot: Snapshot, clock: Clock, request: JobRequest, job: JobView) -> StageResult | None:
    """The one further attempt, where there may be one."""
    memory = larger_memory(request.options) if job.out_of_memory == "worker" else None
    if memory is not None:
        said = Said("OutOfMemory", f"{request.doing}: out of memory; tried once more with {memory}")
    elif _killed(job):
        said = Said("WorkerKilled", f"{request.doing}: the worker was killed; tried once more")
    else:
        return None
    return _create(snapshot, clock, request, _run_of(snapshot, request, second_attempt(request.name), memory), said)


def _killed(job: JobView) -> bool:
    """Killed from outside (or by a node that left no trace), and not for memory: it can pass by itself."""
    refused = job.termination is not None and job.termination.refusal is not None
    untold = job.exit_code in (EXIT_KILLED, None)
    return job.failure_reason == "PodFailurePolicy" and untold and not refused and job.out_of_memory is None


def explain(clock: Clock, request: JobRequest, job: JobView) -> Failure:
    """The typed failure of a Job."""
    name, refusal = job.meta.name, legible(job.termination)
    if (why := engines.given_up(job)) is not None:
        return _failure(request, why, job, clock)
    mend = f"Read its log (kubectl logs job/{name}), mend the cause, then delete the Job to try again."
    if refusal is not None and job.exit_code == EXIT_REFUSED:
        reason, message, action = refusal.reason, refusal.message, refusal.action
    elif job.out_of_memory is not None:
        reason, message = "OutOfMemory", f"The container {job.out_of_memory} of Job {name} ran out of memory."
        action = memory_advice(request, job.out_of_memory)
    elif job.failure_reason == "DeadlineExceeded":
        reason = "DeadlineExceeded"
        message = f"Job {name} took longer than {request.options.deadline_seconds} s."
        action = f"Raise {request.kind.field}.deadlineSeconds, or give the stage more resources."
    elif _killed(job):
        reason, message, action = "WorkerKilled", f"The worker of Job {name} was killed from outside.", mend
    elif refusal is not None:
        reason, action = refusal.reason, mend
        message = f"Job {name} failed {job.failed_pods or 1} time(s), at last so: {refusal.message}."
    else:
        reason = "Refused" if job.exit_code == EXIT_REFUSED else job.failure_reason or "JobFailed"
        message = f"Job {name} failed {job.failed_pods or 1} time(s), last with exit code {job.exit_code}."
        action = mend
    return _failure(request, Refusal(reason=reason, message=message, action=action), job, clock)


def _failure(request: JobRequest, why: Refusal, job: JobView, clock: Clock) -> Failure:
    return Failure(
        stage=request.kind.title, reason=why.reason, message=why.message, action=why.action, exit_code=job.exit_code,
        revision=request.revision, time=job.finished or clock.text,
    )  # fmt: skip


def legible(message: TerminationMessage | None) -> Refusal | None:
    """A refusal that says something: another version's worker, or none of ours, may have written anything."""
    refusal = message.refusal if message is not None else None
    if refusal is None or not REASON.fullmatch(refusal.reason):
        return None
    return refusal if refusal.message.strip() and refusal.action.strip() else None


def memory_advice(request: JobRequest, container: str) -> str:
    """Where the manifest says how much memory a container has."""
    if container == "engine":
        return engines.more_memory(request.engine)
    return f"Raise {request.kind.field}.resources.limits.memory, or set {request.kind.field}.maxMemory to allow one larger try."


def _running(request: JobRequest, job: JobView, adoption: Any) -> StageResult:
    line = job.progress
    trouble = _trouble(job.pods[0]) if job.pods else None
    progress = Progress(message=trouble or f"{request.doing}")
    if line is not None and trouble is None:
        eta = None if line.eta_seconds is None else int(line.eta_seconds)
        progress = Progress(percent=min(100, max(0, int(line.percent))), eta_seconds=eta, message=line.message)
    reason = "WaitingForPod" if trouble else request.stage
    return StageResult(
        stage=request.stage, reason=reason, message=trouble or request.doing, actions=tuple(adoption), progress=progress,
        watch_progress=(job.meta.name,), requeue_after=float(PROGRESS_SECONDS), revision=request.revision,
    )  # fmt: skip


def _trouble(pod: PodView) -> str | None:
    if pod.unschedulable:
        return f"pod {pod.meta.name} fits on no node: {pod.unschedulable}"
    for container in pod.containers:
        own_words = container.name == engines.ENGINE and container.reason == engines.CRASH_LOOP
        if container.reason in WAITING_IS_WRONG and not container.running and not own_words:
            return f"container {container.name} of pod {pod.meta.name}: {container.reason}: {container.message or ''}"
    return None
