"""A Job whose pod is not created, or does not start: told, and ended if it holds GPUs and does not mend itself."""

from __future__ import annotations

import math
from dataclasses import replace

from lowbit.api.status import Progress
from lowbit.api.termination import Refusal
from lowbit.decide.jobs.failure import failure_of
from lowbit.decide.jobs.request import JobRequest, lasting
from lowbit.decide.outcome import Clock, StageResult
from lowbit.decide.stuck import LOOK_SECONDS, Stuck
from lowbit.state.plan import End
from lowbit.state.snapshot import JobView

LET_GO_SECONDS = 600.0
"""A pod that could not start for this long lets its GPUs go."""
HELD_UP = ("PodForbidden", "PodNotStarted", "QuotaExceeded", "WaitingForPod")
"""Reasons of a Job that was ended because it had no pod that ran. It is tried again now and then."""


def held_up(clock: Clock, request: JobRequest, job: JobView, stuck: Stuck, step: StageResult) -> StageResult:
    """What is done and said about it. step: of a Job on its way."""
    # An infinite time is one that cannot be told, because clocks differ: end nothing for it.
    over = LET_GO_SECONDS <= stuck.seconds < math.inf and (stuck.cause.lasting or stuck.holds)
    if not over and not stuck.cause.lasting:
        return replace(
            step, reason=stuck.cause.reason, message=stuck.text, progress=Progress(message=stuck.text),
            watch_progress=(),
        )  # fmt: skip
    message = f"{stuck.message.rstrip('.')}."
    if over:
        message += f" Job {job.meta.name} was ended, so that it holds nothing in vain."
    refusal = Refusal(reason=stuck.cause.reason, message=message, action=stuck.cause.action)
    meta = job.meta
    end = End(meta.name, meta.uid, meta.resource_version, refusal.model_dump_json(by_alias=True))
    told = lasting(request, failure_of(request, refusal, job, clock), (*step.actions, *((end,) if over else ())))
    return replace(told, requeue_after=LOOK_SECONDS, read_events=step.read_events, read_logs=step.read_logs)
