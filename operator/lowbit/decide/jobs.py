"""What became of a Job: still on its way, done, to be tried once more with more memory, or failed for good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from lowbit.api.documents import EXIT_REFUSED, TerminationMessage
from lowbit.api.names import more_memory
from lowbit.api.pods import JobOptions
from lowbit.api.status import Failure, Progress, Stage
from lowbit.decide.outcome import Clock, Waiting
from lowbit.decide.owners import adopt
from lowbit.decide.plan import Create, Delete
from lowbit.decide.snapshot import JobView, PodView, Snapshot
from lowbit.desired.document import DocumentTooLarge

UNREADABLE_RESULT_SECONDS = 60
"""A finished Job whose pod is not seen yet is given so long, before it is made again."""
PROGRESS_SECONDS = 30

WAITING_IS_WRONG = (
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CrashLoopBackOff",
)

MakeJob = Callable[[str, str | None], dict[str, Any]]
"""From the Job's name and its memory limit to its manifest."""

_SUFFIXES = {"m": Decimal("0.001"), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12),
             "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40)}  # fmt: skip


def quantity(text: str) -> Decimal:
    """The number in a Kubernetes quantity: "2Gi" is 2147483648."""
    number = text.rstrip("mkMGTi")
    return Decimal(number) * _SUFFIXES.get(text[len(number) :], Decimal(1))


def larger_memory(options: JobOptions) -> str | None:
    """Twice the stage's memory limit, at most maxMemory; None where the manifest does not allow more."""
    limit = options.resources.limits.get("memory")
    if limit is None or options.max_memory is None or quantity(options.max_memory) <= quantity(limit):
        return None
    doubled = int(quantity(limit) * 2)
    return options.max_memory if doubled >= quantity(options.max_memory) else str(doubled)


@dataclass(frozen=True)
class Wanted:
    """A Job that somebody needs the result of."""

    name: str
    stage: Stage
    title: str
    """The stage in a failure: Prepare, Quantize, Evaluate."""
    doing: str
    """What it does, for people: "quantizing support-chat-0a1b2c3d4e to gptq-int4-g64"."""
    options: JobOptions
    make: MakeJob
    field: str
    """Where the manifest says how this Job runs: spec.jobs.quantize."""
    revision: str | None = None


def run(snapshot: Snapshot, clock: Clock, wanted: Wanted) -> TerminationMessage | Waiting:
    """The Job's result; or what is to be done and said until there is one."""
    second = snapshot.jobs.get(more_memory(wanted.name))
    job = second or snapshot.jobs.get(wanted.name)
    if job is None:
        return _create(clock, wanted, wanted.name, None, "Started", f"{wanted.doing}: starting")
    if job.meta.deleting:
        return _waiting(wanted, "Restarting", f"{wanted.doing}: the last Job is going away", requeue=5.0)
    adoption = adopt(snapshot, "Job", job.meta)
    if job.state == "Succeeded":
        return _finished(clock, wanted, job)
    if job.state == "Failed":
        return _failed(clock, wanted, job, tried_more=second is not None)
    return _running(wanted, job, adoption)


def _waiting(wanted: Wanted, reason: str, message: str, *, actions: Any = (), requeue: float | None = None) -> Waiting:
    return Waiting(
        stage=wanted.stage, reason=reason, message=message, actions=tuple(actions), requeue_after=requeue,
        revision=wanted.revision,
    )  # fmt: skip


def _create(clock: Clock, wanted: Wanted, name: str, memory: str | None, reason: str, message: str) -> Waiting:
    try:
        manifest = wanted.make(name, memory)
    except DocumentTooLarge as error:
        failure = Failure(
            stage=wanted.title, reason="DocumentTooLarge", message=f"{error}.", revision=wanted.revision, time=clock.text,
            action="Shorten spec.engine.vllm.env and args: what is long belongs into a ConfigMap or the image.",
        )  # fmt: skip
        return _lasting(wanted, failure)
    return _waiting(wanted, reason, message, actions=[Create(manifest)])


def _lasting(wanted: Wanted, failure: Failure) -> Waiting:
    return Waiting(
        stage="Failed", reason=f"{wanted.title}Failed", message=f"{failure.message} {failure.action}".strip(),
        failure=failure, revision=wanted.revision,
    )  # fmt: skip


def _finished(clock: Clock, wanted: Wanted, job: JobView) -> TerminationMessage | Waiting:
    if job.termination is not None and job.termination.refusal is None:
        return job.termination
    message = f"{wanted.doing}: Job {job.meta.name} has finished, its result is not seen yet"
    if clock.seconds_since(job.finished) < UNREADABLE_RESULT_SECONDS:
        return _waiting(wanted, "ReadingResult", message, requeue=5.0)
    again = Delete("Job", job.meta.name, job.meta.uid, job.meta.resource_version)
    return _waiting(wanted, "ReadingResult", f"{message}; made again, what is in the store is used", actions=[again])


def _failed(clock: Clock, wanted: Wanted, job: JobView, *, tried_more: bool) -> Waiting:
    memory = larger_memory(wanted.options)
    if job.out_of_memory and memory is not None and not tried_more:
        message = f"{wanted.doing}: out of memory; tried once more with {memory}"
        return _create(clock, wanted, more_memory(wanted.name), memory, "OutOfMemory", message)
    return _lasting(wanted, explain(clock, wanted, job))


def explain(clock: Clock, wanted: Wanted, job: JobView) -> Failure:
    """The typed failure of a Job that will not be tried again."""
    refusal = job.termination.refusal if job.termination else None
    if refusal is not None:
        reason, message, action = refusal.reason, refusal.message, refusal.action
    elif job.out_of_memory:
        reason, message = "OutOfMemory", f"Job {job.meta.name} ran out of memory."
        action = (
            f"Raise {wanted.field}.resources.limits.memory, or set {wanted.field}.maxMemory to allow one larger try."
        )
    elif job.failure_reason == "DeadlineExceeded":
        reason, message = (
            "DeadlineExceeded",
            f"Job {job.meta.name} took longer than {wanted.options.deadline_seconds} s.",
        )
        action = f"Raise {wanted.field}.deadlineSeconds, or give the stage more resources; then delete the Job."
    else:
        reason = "Refused" if job.exit_code == EXIT_REFUSED else job.failure_reason or "JobFailed"
        message = f"Job {job.meta.name} failed {job.failed_pods or 1} time(s), last with exit code {job.exit_code}."
        action = f"Read its log (kubectl logs job/{job.meta.name}), mend the cause, then delete the Job to try again."
    return Failure(
        stage=wanted.title, reason=reason, message=message, action=action, exit_code=job.exit_code,
        revision=wanted.revision, time=job.finished or clock.text,
    )  # fmt: skip


def _running(wanted: Wanted, job: JobView, adoption: Any) -> Waiting:
    line = job.progress
    trouble = _trouble(job.pods[0]) if job.pods else None
    progress = Progress(message=trouble or f"{wanted.doing}")
    if line is not None and trouble is None:
        eta = None if line.eta_seconds is None else int(line.eta_seconds)
        progress = Progress(percent=min(100, max(0, int(line.percent))), eta_seconds=eta, message=line.message)
    reason = "WaitingForPod" if trouble else wanted.stage
    return Waiting(
        stage=wanted.stage, reason=reason, message=trouble or wanted.doing, actions=tuple(adoption), progress=progress,
        watch_progress=(job.meta.name,), requeue_after=float(PROGRESS_SECONDS), revision=wanted.revision,
    )  # fmt: skip


def _trouble(pod: PodView) -> str | None:
    if pod.unschedulable:
        return f"pod {pod.meta.name} fits on no node: {pod.unschedulable}"
    for container in pod.containers:
        if container.reason in WAITING_IS_WRONG and not container.running:
            return f"container {container.name} of pod {pod.meta.name}: {container.reason}: {container.message or ''}"
    return None
