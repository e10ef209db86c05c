"""What one stage says to the reconciler: go on, or this is how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from lowbit.api.problem import Problem
from lowbit.api.status import Failure, Progress, Stage
from lowbit.state.plan import Action, ReadEvents, ReadLog, ReadResult, ReadStart, WriteStatus

CLOCK_SKEW_SECONDS = 300.0
"""Clocks of two machines differ by less, where somebody looks after them."""


@dataclass(frozen=True)
class StageResult:
    """The stage is not done. Its actions make it go on; the rest is for the status."""

    stage: Stage
    reason: str
    """Reason of the Ready condition, CamelCase."""
    message: str
    actions: tuple[Action, ...] = ()
    intermediate: bool = False
    """Intermediate step: skip the status write. Its actions are seen at once, and the next step follows."""
    fact: WriteStatus | None = None
    """A fact about a revision or an evaluation that has to be written before anything else."""
    failure: Failure | None = None
    """A lasting failure: nothing happens until somebody changes something."""
    of_candidate: bool = False
    """Whether the failure is that of making or measuring one candidate: another one may do."""
    setback: Failure | None = None
    """A transient failure: report it while the step is retried."""
    progress: Progress | None = None
    watch_progress: tuple[str, ...] = ()
    read_logs: tuple[ReadLog | ReadResult | ReadStart, ...] = ()
    read_events: tuple[ReadEvents, ...] = ()
    read_nodes: bool = False
    requeue_after: float | None = None
    revision: str | None = None
    """The revision that is being made or judged."""

    @classmethod
    def failed(cls, failure: Failure) -> StageResult:
        """A lasting failure, in its own words."""
        message = f"{failure.message} {failure.action}".strip()
        return cls("Failed", failure.reason, message, failure=failure, revision=failure.revision)


def seconds_of(timestamp: str | None) -> float | None:
    """An RFC 3339 time in seconds since the epoch; None if it is missing or cannot be read."""
    try:
        return datetime.fromisoformat(timestamp or "").timestamp()
    except ValueError:
        return None


@dataclass(frozen=True)
class Clock:
    """The time, as an argument."""

    now: datetime

    @property
    def text(self) -> str:
        """RFC 3339, in whole seconds."""
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")

    def after(self, timestamp: str | None, seconds: float) -> str:
        """The time (RFC 3339, in whole seconds) that is so long after another one; after now if that cannot be read."""
        try:
            since = datetime.fromisoformat(timestamp or "")
        except ValueError:
            since = self.now
        return Clock(since + timedelta(seconds=ceil(seconds))).text

    def seconds_since(self, timestamp: str | None) -> float:
        """Seconds since an RFC 3339 time, never negative.

        Infinite if it is missing, cannot be read or lies so far in the future that a clock was wrong: nobody waits for
        years.
        """
        if not timestamp:
            return float("inf")
        try:
            seconds = (self.now - datetime.fromisoformat(timestamp)).total_seconds()
        except (ValueError, TypeError):
            return float("inf")
        return max(0.0, seconds) if seconds > -CLOCK_SKEW_SECONDS else float("inf")


def failure_of_problems(stage: str, problems: Sequence[Problem], clock: Clock, revision: str | None = None) -> Failure:
    """What a person has to change in the manifest. stage: title of the stage that cannot begin."""
    message = "; ".join(f"{problem.field}: {problem.message}" for problem in problems)
    action = "; ".join(f"{problem.field}: {problem.action}" for problem in problems)
    return Failure(
        stage=stage, reason=problems[0].reason, message=message, action=action, revision=revision, time=clock.text
    )  # fmt: skip
