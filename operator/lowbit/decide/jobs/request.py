"""A Job that somebody needs the result of, and what is said while there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from lowbit.api.pods import JobOptions
from lowbit.api.stages import StageKind
from lowbit.api.status import Failure, Progress, Stage
from lowbit.decide.nodes import Group
from lowbit.decide.outcome import StageResult
from lowbit.desired.common import Manifest
from lowbit.desired.context import JobRun
from lowbit.state.plan import Action
from lowbit.state.snapshot import JobView

PROGRESS_SECONDS = 30

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
    beside: Sequence[Manifest] = ()
    """What is made before the Job, for its pods."""
    group: Group | None = None
    """Its pods, where they ask for GPUs."""

    @property
    def needs(self) -> str:
        """Where the manifest says what its containers ask for."""
        own = f"{self.kind.field}.resources"
        return f"{own} and {self.engine}.resources" if self.engine else own


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
    """The Job is on its way: how far."""
    line = job.progress
    progress = Progress(message=request.doing)
    if line is not None:
        eta = None if line.eta_seconds is None else int(line.eta_seconds)
        progress = Progress(percent=min(100, max(0, int(line.percent))), eta_seconds=eta, message=line.message)
    return StageResult(
        stage=request.stage, reason=request.stage, message=request.doing, actions=tuple(adoption),
        progress=progress,
        watch_progress=(job.meta.name,), requeue_after=float(PROGRESS_SECONDS), revision=request.revision,
    )  # fmt: skip
