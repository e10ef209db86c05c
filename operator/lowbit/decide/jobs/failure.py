"""Why a Job has failed, and what to do about it."""

from __future__ import annotations

import re

from lowbit.api.documents import EXIT_CRASHED, EXIT_LATER, EXIT_REFUSED
from lowbit.api.status import Failure
from lowbit.api.termination import Refusal, TerminationMessage
from lowbit.decide import engines
from lowbit.decide.causes import worst
from lowbit.decide.jobs.request import JobRequest
from lowbit.decide.outcome import Clock, seconds_of
from lowbit.desired.jobs.job import EXIT_KILLED
from lowbit.state.snapshot import JobView

UP_TO_DATE = 180.0
"""Seconds. The events of a Job without a pod are read every minute; older ones are from before it had one."""
REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
"""What Kubernetes takes as the reason of a condition."""

IN_ITS_OWN_WORDS = (EXIT_REFUSED, EXIT_LATER, EXIT_CRASHED)
"""Exit codes of a worker that has said what happened and what to do."""


def explain(clock: Clock, request: JobRequest, job: JobView) -> Failure:
    """The typed failure of a Job."""
    name, refusal = job.meta.name, legible(job.termination)
    if (why := engines.given_up(job)) is not None:
        return failure_of(request, why, job, clock)
    mend = f"Read its log (kubectl logs job/{name}), mend the cause, then delete the Job to try again."
    if refusal is not None and job.exit_code in IN_ITS_OWN_WORDS:
        reason, message, action = refusal.reason, refusal.message, refusal.action
    elif job.out_of_memory is not None:
        reason, message = "OutOfMemory", f"The container {job.out_of_memory} of Job {name} ran out of memory."
        action = memory_advice(request, job.out_of_memory)
    elif job.failure_reason == "DeadlineExceeded":
        reason, message, action = _overdue(request, job)
    elif killed(job):
        reason, message, action = "WorkerKilled", f"The worker of Job {name} was killed from outside.", mend
    elif refusal is not None:
        reason, action = refusal.reason, mend
        message = f"Job {name} failed {job.failed_pods or 1} time(s), at last so: {refusal.message}."
    else:
        reason = "Refused" if job.exit_code == EXIT_REFUSED else job.failure_reason or "JobFailed"
        message = f"Job {name} failed {job.failed_pods or 1} time(s), last with exit code {job.exit_code}."
        if job.last_words:
            message += f" The end of its log: {job.last_words}"
        action = mend
    if job.lived_on and job.exit_code != EXIT_REFUSED:
        message += f" Lowbit ended its pod: {', '.join(job.lived_on)} lived on beside the worker."
    return failure_of(request, Refusal(reason=reason, message=message, action=action), job, clock)


def _overdue(request: JobRequest, job: JobView) -> tuple[str, str, str]:
    """Reason, message and action of a Job whose deadline has passed; those of Kubernetes, if it never had a pod."""
    message = f"Job {job.meta.name} took longer than {request.options.deadline_seconds} s"
    found = worst(job.events.warnings, request.needs) if job.events is not None else None
    ended = seconds_of(job.finished)
    if found is not None and job.events is not None and ended is not None and ended - job.events.at < UP_TO_DATE:
        warned, cause = found
        return cause.reason, f"{message}, in which it got no pod: {warned.reason}: {warned.message}.", cause.action
    action = (
        f"Raise {request.kind.field}.deadlineSeconds, or give the stage more resources. If its pod never ran, make "
        "room for it (nodes, quota)."
    )
    return "DeadlineExceeded", f"{message}.", action


def failure_of(request: JobRequest, why: Refusal, job: JobView, clock: Clock) -> Failure:
    """A refusal as the failure of a Job."""
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
    field = request.kind.field
    return f"Raise {field}.resources.limits.memory, or set {field}.maxMemory to allow one larger try."


def killed(job: JobView) -> bool:
    """Killed from outside (or by a node that left no trace), and not for memory: it can pass by itself."""
    refused = job.termination is not None and job.termination.refusal is not None
    untold = job.exit_code in (EXIT_KILLED, None)
    return job.failure_reason == "PodFailurePolicy" and untold and not refused and job.out_of_memory is None
