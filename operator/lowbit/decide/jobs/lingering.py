"""Jobs whose worker has ended and whose pod has not, because a mesh's proxy lives on beside it.

How the worker ended is written on the Job, in the same write that ends it: the pod goes, and with it what it knows.
"""

from __future__ import annotations

from dataclasses import replace

from lowbit.api.termination import TerminationMessage, WorkerEnd
from lowbit.decide.jobs.request import JobRequest, running
from lowbit.decide.jobs.result import finished
from lowbit.decide.outcome import Clock, StageResult
from lowbit.state.plan import Conclude
from lowbit.state.snapshot import JobView, Lingering

LINGER_SECONDS = 30.0
"""The other containers may take this long to end by themselves."""
RECORD_LIMIT = 200 * 1024
"""Bytes of a record. All annotations of an object may have 256 KiB."""


def wind_up(clock: Clock, request: JobRequest, job: JobView, lingering: Lingering) -> TerminationMessage | StageResult:
    """End the Job with a record of how its worker ended; before that, read a result that is in the log."""
    if job.exit_code == 0 and job.termination is not None and job.termination.logged is not None:
        return finished(clock, request, job)
    waited = clock.seconds_since(lingering.since)
    if waited < LINGER_SECONDS:
        return replace(running(request, job, ()), requeue_after=LINGER_SECONDS - waited, watch_progress=())
    record = _record(job, lingering, clock).text()
    if len(record.encode()) > RECORD_LIMIT and job.exit_code == 0:
        return finished(clock, request, job)  # count the result at once; the Job is left to its deadline
    meta = job.meta
    end = Conclude(meta.name, meta.uid, meta.resource_version, record)
    return replace(running(request, job, (end,)), intermediate=True)


def _record(job: JobView, lingering: Lingering, clock: Clock) -> WorkerEnd:
    return WorkerEnd(
        exit_code=job.exit_code or 0, message=job.termination, out_of_memory=job.out_of_memory,
        engine_image_ids=job.engine_image_ids, lived_on=lingering.containers, time=lingering.since or clock.text,
    )  # fmt: skip
