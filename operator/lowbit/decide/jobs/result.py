"""The result of a Job that has ended well: it is there, or not seen yet, or in the log."""

from __future__ import annotations

from dataclasses import replace

from lowbit.api.logged import LoggedResult
from lowbit.api.termination import Refusal, TerminationMessage
from lowbit.decide.jobs.failure import failure_of
from lowbit.decide.jobs.request import PROGRESS_SECONDS, JobRequest, lasting, running, waiting
from lowbit.decide.outcome import Clock, StageResult
from lowbit.state.plan import Delete, ReadResult
from lowbit.state.snapshot import JobView

UNSEEN_RESULT_SECONDS = 5.0
"""A finished Job whose pod is not seen yet is given so long, before that is told."""
UNREADABLE_RESULT_SECONDS = 60
"""And so long, before it is made again, or a result in a log counts as unreadable."""


def finished(clock: Clock, request: JobRequest, job: JobView) -> TerminationMessage | StageResult:
    """The result of a Job that has ended well, or what is waited for."""
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
        return replace(running(request, job, ()), requeue_after=UNSEEN_RESULT_SECONDS, watch_progress=())
    if clock.seconds_since(job.finished) < UNREADABLE_RESULT_SECONDS:
        return waiting(request, "ReadingResult", message, requeue=5.0)
    again = Delete("Job", job.meta.name, job.meta.uid, job.meta.resource_version)
    return waiting(request, "ReadingResult", f"{message}; made again, what is in the store is used", actions=[again])


def _reading(clock: Clock, request: JobRequest, job: JobView, logged: LoggedResult) -> StageResult:
    """The result is in the log. Ask for it until it is read; report a failure once that takes long.

    Never make the Job again for it: where logs cannot be read at all, that would start an engine again and again.
    """
    pod, wanted = job.finished_pod or "", (ReadResult(job.finished_pod or "", logged),)
    message = f"{request.doing}: reading the result in the log of pod {pod}"
    if job.result_unread is None or clock.seconds_since(job.finished) < UNREADABLE_RESULT_SECONDS:
        why = f" failed: {job.result_unread}" if job.result_unread else ""
        step = waiting(request, "ReadingResult", message + why, requeue=5.0)
        return replace(step, read_logs=wanted)
    refusal = Refusal(
        reason="ResultUnreadable",
        message=f"The result of Job {job.meta.name} is in the log of pod {pod}, which cannot be read: "
        f"{job.result_unread}.",
        action=f"If the log is lost, delete Job {job.meta.name}: another one finds what was measured in the store. "
        "Else let the operator read pods/log; it tries again by itself.",
    )
    failed = lasting(request, failure_of(request, refusal, job, clock), ())
    return replace(failed, read_logs=wanted, requeue_after=float(PROGRESS_SECONDS))
