"""A Job that somebody needs the result of, and what is said while there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from lowbit.api.pods import JobOptions
from lowbit.api.stages import StageKind
from lowbit.api.status import Failure, Progress, Stage
from lowbit.decide import engines
from lowbit.decide.outcome import StageResult
from lowbit.desired.context import JobRun
from lowbit.state.plan import Action
from lowbit.state.snapshot import JobView, PodView

PROGRESS_SECONDS = 30

WAITING_IS_WRONG = (
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CrashLoopBackOff",
)

MakeJob = Callable[[JobRun], dict[str, Any]]
"""From how a Job runs to its manifest."""


@dataclass(frozen=True)
class JobRequest:
    """A Job that somebody needs the result of."""

    name: str
    hash: str
    """The whole hash of its input, which the end of the name is short for."""
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


def waiting(
    request: JobRequest, reason: str, message: str, *, actions: Any = (), requeue: float | None = None
) -> StageResult:
    """Something is done, or waited for."""
    return StageResult(
        stage=request.stage, reason=reason, message=message, actions=tuple(actions), requeue_after=requeue,
        revision=request.revision,
    )  # fmt: skip


class Said(NamedTuple):
    """Reason and message of what is told."""

    reason: str
    message: str


def lasting(request: JobRequest, failure: Failure, actions: tuple[Action, ...]) -> StageResult:
    """A failure that stays until somebody changes something."""
    return replace(StageResult.failed(failure), actions=actions)


def running(request: JobRequest, job: JobView, adoption: Any) -> StageResult:
    """The Job is on its way: how far, or what keeps its pod from starting."""
    line = job.progress
    trouble = trouble_of(job.pods[0]) if job.pods else None
    progress = Progress(message=trouble or f"{request.doing}")
    if line is not None and trouble is None:
        eta = None if line.eta_seconds is None else int(line.eta_seconds)
        progress = Progress(percent=min(100, max(0, int(line.percent))), eta_seconds=eta, message=line.message)
    reason = "WaitingForPod" if trouble else request.stage
    return StageResult(
        stage=request.stage, reason=reason, message=trouble or request.doing, actions=tuple(adoption),
        progress=progress,
        watch_progress=(job.meta.name,), requeue_after=float(PROGRESS_SECONDS), revision=request.revision,
    )  # fmt: skip


def trouble_of(pod: PodView) -> str | None:
    if pod.unschedulable:
        return f"pod {pod.meta.name} fits on no node: {pod.unschedulable}"
    for container in pod.containers:
        own_words = container.name == engines.ENGINE and container.reason == engines.CRASH_LOOP
        if container.reason in WAITING_IS_WRONG and not container.running and not own_words:
            return f"container {container.name} of pod {pod.meta.name}: {container.reason}: {container.message or ''}"
    return None
