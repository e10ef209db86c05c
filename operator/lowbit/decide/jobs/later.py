"""A failure that may pass: tried again as long as it lasts, after pauses that grow.

Nothing is remembered but what objects hold: the Job says which try it was, and the last failure in the QuantizedModel's
status says it after the Job was deleted. So all who share a Job wait for the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

from lowbit.api.documents import EXIT_LATER, EXIT_REFUSED
from lowbit.api.status import Failure
from lowbit.decide.jobs.request import JobRequest, lasting, waiting
from lowbit.decide.outcome import Clock, StageResult
from lowbit.naming.canonical import digest
from lowbit.naming.names import ATTEMPT_ANNOTATION
from lowbit.state.plan import Action, Delete
from lowbit.state.snapshot import JobView, Snapshot

MENDED_ELSEWHERE = ("NoSpace", "CertificateRefused")
"""Reasons that go away by what somebody does to something that is not watched here: Stalled at once."""
STALLED_FROM = 6
"""The try from which on others are Stalled, too: after half an hour somebody should look."""
FIRST_SECONDS = 60.0
MENDED_SECONDS = 600.0
"""The first pause where somebody has to mend it."""
LONGEST_SECONDS = 3600.0
JITTER = 0.25
"""Share of a pause by which it may be longer, by the Job's name: what failed together is not tried again together."""
ASKED_LIMIT = 6 * 3600.0
"""Seconds of what a server asks to wait that are believed."""
FORGOTTEN_SECONDS = 6 * 3600.0
"""So long after the time of the next try, a new failure is another one."""


def may_pass(job: JobView, failure: Failure) -> bool:
    """Whether a Job has failed by something that may pass. An older worker says so of a full disk by its reason."""
    return job.exit_code == EXIT_LATER or (job.exit_code == EXIT_REFUSED and failure.reason == "NoSpace")


def later(
    request: JobRequest, failure: Failure, clock: Clock, jobs: Sequence[JobView], actions: tuple[Action, ...]
) -> StageResult:
    """Report the failure until the time of the next try; then delete the Job, so that it is made again.

    jobs: the Job, and its second attempt if there is one, which counts. actions: what keeps the Job meanwhile.
    """
    job, attempt = jobs[-1], attempt_of(jobs[-1])
    refusal = job.termination.refusal if job.termination is not None else None
    seconds = pause(request.name, attempt, failure.reason, refusal.retry_after if refusal is not None else None)
    next_try = clock.after(job.finished, seconds)
    when = f"It has failed {attempt} time(s) so far, and is tried again at {next_try}"
    told = failure.model_copy(
        update={
            "action": f"{failure.action.removesuffix('.')}. {when}; at once where Job {job.meta.name} is deleted.",
            "job": request.name, "attempts": attempt, "next_try": next_try,
        }
    )  # fmt: skip
    left = seconds - clock.seconds_since(job.finished)
    if left <= 0:
        away = [Delete("Job", each.meta.name, each.meta.uid, each.meta.resource_version) for each in jobs]
        message = f"{request.doing}: tried again, it may have passed by now: {failure.message}"
        return replace(waiting(request, "TryingAgain", message, actions=away), setback=told)
    if failure.reason in MENDED_ELSEWHERE or attempt >= STALLED_FROM:
        return replace(lasting(request, told, actions), requeue_after=left)
    message = f"{told.message.removesuffix('.')}. {told.action}"
    return replace(waiting(request, told.reason, message, actions=actions, requeue=left), setback=told)


def pause(job: str, attempt: int, reason: str, asked: float | None, *, mended: bool = False) -> float:
    """Whole seconds between a try that failed and the next one. asked: by the server; never less than that.

    attempt counts from 1. mended: somebody has to mend it, whatever the reason says. The same arguments give the same
    pause: it is worked out anew at each look.
    """
    first = MENDED_SECONDS if mended or reason in MENDED_ELSEWHERE else FIRST_SECONDS
    grown = min(first * 2.0 ** min(attempt - 1, 20), LONGEST_SECONDS)
    share = int(digest("pause", [job, attempt])[:8], 16) / 0xFFFFFFFF
    return float(ceil(max(grown, min(asked or 0.0, ASKED_LIMIT)) * (1.0 + JITTER * share)))


def attempt_of(job: JobView) -> int:
    """Which try a Job is, from 1."""
    text = job.meta.annotations.get(ATTEMPT_ANNOTATION, "")
    return max(1, int(text)) if text.isascii() and text.isdigit() else 1


def next_attempt(snapshot: Snapshot, clock: Clock, name: str) -> int:
    """Which try a Job that is made now will be. Somebody who deleted it before the time begins anew."""
    last = snapshot.model.body.status.last_failure
    if last is None or last.job != name or last.attempts is None:
        return 1
    return last.attempts + 1 if clock.seconds_since(last.next_try) < FORGOTTEN_SECONDS else 1
