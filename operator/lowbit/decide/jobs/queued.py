"""A Job that is suspended: queued. Its deadline and its progress stand still until it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lowbit.api.status import Failure, Progress
from lowbit.decide.jobs.request import JobRequest, waiting
from lowbit.decide.outcome import Clock, StageResult
from lowbit.desired.context import JobQueue
from lowbit.naming.names import GPU_SLOT_ANNOTATION, JOB_UID_LABEL, QUEUE_ANNOTATION, QUEUE_LABEL
from lowbit.state.plan import Action
from lowbit.state.snapshot import JobView, Snapshot

QUEUED = "Queued"


def queued(
    snapshot: Snapshot, request: JobRequest, job: JobView, adoption: tuple[Action, ...], setback: Failure | None
) -> StageResult:
    """What is said of a suspended Job. Nothing is timed: whoever starts it changes it, and that is seen."""
    text = f"Job {job.meta.name} {_why(snapshot, job)}"
    result = waiting(request, QUEUED, text, actions=adoption)
    return replace(result, progress=Progress(message=text), setback=setback)


def _why(snapshot: Snapshot, job: JobView) -> str:
    meta = job.meta
    if (queue := meta.labels.get(QUEUE_LABEL)) is not None:
        return (
            f"waits in the queue {queue} until Kueue admits it. Kueue says why: "
            f"kubectl -n {meta.namespace} describe workloads -l {JOB_UID_LABEL}={meta.uid}"
        )
    if GPU_SLOT_ANNOTATION in meta.annotations:
        bound = snapshot.platform.max_gpu_jobs or 1
        running = max(snapshot.gpu_jobs_running, bound)
        return (
            f"waits until fewer Jobs with GPUs run in namespace {meta.namespace}: {running} run, and {bound} may "
            "(platform.maxGpuJobs in the chart's values). Raise it, or wait until one ends."
        )
    resume = f"""kubectl -n {meta.namespace} patch job {meta.name} -p '{{"spec":{{"suspend":false}}}}'"""
    return f"was suspended by somebody else, who has to resume it: its queue, or a person by {resume}"


def queue_of(snapshot: Snapshot, clock: Clock) -> JobQueue:
    """Who starts a Job that is made now, and its place among those that wait for GPUs.

    The oldest model goes first. One of which something has failed goes behind those that wait already: else two that
    fail again and again would take turns for ever, before all younger ones.
    """
    model = snapshot.model
    jobs, failed = model.body.spec.jobs, model.body.status.last_failure is not None
    place = clock.text if failed else model.meta.creation_timestamp
    return JobQueue(jobs.queue_name, jobs.workload_priority_class_name, place)


def queue_changed(job: JobView, made_now: Mapping[str, Any]) -> bool:
    """Whether another queue is named than the one in which the Job waits. made_now: the Job as it would be made now."""
    wanted = made_now["metadata"].get("annotations") or {}
    return job.meta.annotations.get(QUEUE_ANNOTATION) != wanted.get(QUEUE_ANNOTATION)
