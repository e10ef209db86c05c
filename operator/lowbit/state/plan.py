"""Plans: decide makes them, effects carries them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lowbit.api.logged import LoggedResult
from lowbit.state.snapshot import Owner


@dataclass(frozen=True)
class Create:
    """Create an object that never changes afterwards (Job, guard's ConfigMap, ModelRevision, ModelEvaluation).

    Its name follows from its content, so AlreadyExists is no error: it only shows that the snapshot was stale.
    """

    manifest: Mapping[str, Any]
    beside: bool = False
    """What serves does not need it: the status is written although the API server refuses it."""


@dataclass(frozen=True)
class Apply:
    """Server-side apply of an object whose declared fields Lowbit owns. Planned only if something would change."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class SetOwners:
    """Replace the owner references of a shared object, under the precondition of its resourceVersion."""

    kind: str
    name: str
    uid: str
    resource_version: str
    owners: tuple[Owner, ...]


@dataclass(frozen=True)
class Delete:
    """Delete an object (background propagation) under the preconditions of its uid and resourceVersion."""

    kind: str
    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True)
class Keep:
    """Remove a finished Job's time to live, so that it stays as the record of a permanent failure."""

    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True)
class End:
    """End a Job that cannot succeed. Its pods are killed; it counts as failed, and stays with the reason on it."""

    name: str
    uid: str
    resource_version: str
    why: str
    """Value of GIVEN_UP_ANNOTATION."""


@dataclass(frozen=True)
class Conclude:
    """End a Job whose worker has ended before other containers. These are stopped; the Job keeps the worker's end."""

    name: str
    uid: str
    resource_version: str
    end: str
    """Value of WORKER_END_ANNOTATION."""


@dataclass(frozen=True)
class Start:
    """Start a Job that Lowbit has suspended until fewer Jobs with GPUs run."""

    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True)
class ScaleDown:
    """Scale a ReplicaSet of the paused serving Deployment to 0, under the precondition of its uid."""

    name: str
    uid: str


@dataclass(frozen=True)
class MakeToken:
    """Create the Secret with the token of a model's groups. One that is there is left as it is, and not read."""

    manifest: Mapping[str, Any]
    """Without the token."""


Action = Create | Apply | SetOwners | Delete | Keep | End | Conclude | Start | ScaleDown | MakeToken


@dataclass(frozen=True)
class ReadLog:
    """Read the log of an engine that has ended."""

    pod: str
    ends: int
    """How often the engine has ended."""
    previous: bool
    """Read the log of the container's previous run, because it was restarted."""


@dataclass(frozen=True)
class ReadStart:
    """Read how an engine runs: the beginning of its log, and the product of its node's devices."""

    pod: str
    uid: str
    node: str | None


@dataclass(frozen=True)
class ReadResult:
    """Read a worker's result from its log: it did not fit into the termination message."""

    pod: str
    logged: LoggedResult


@dataclass(frozen=True)
class ReadEvents:
    """Read the events of a Job that has no pod, or of a pod that does not start."""

    kind: Literal["Job", "Pod"]
    name: str
    uid: str


@dataclass(frozen=True)
class WriteStatus:
    """Replace the status of one of Lowbit's own objects, under the precondition of its resourceVersion."""

    kind: Literal["QuantizedModel", "ModelRevision", "ModelEvaluation", "ModelStore"]
    name: str
    uid: str
    resource_version: str
    status: Mapping[str, Any]


@dataclass(frozen=True)
class Event:
    """A Kubernetes Event on the QuantizedModel."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """One step: actions in order, then events, then the status. After every change a new plan is made."""

    actions: tuple[Action, ...] = ()
    status: WriteStatus | None = None
    """At most one. Those of ModelEvaluation and ModelRevision are written before the QuantizedModel's."""
    events: tuple[Event, ...] = ()
    """Sent only together with a status, just before it is written, so that each is sent once."""
    requeue_after: float | None = None
    """Seconds until the next plan, even without a change (a Job's progress, a backoff)."""
    watch_progress: tuple[str, ...] = ()
    """Names of Jobs whose log to read for progress, at most every 30 seconds each."""
    read_logs: tuple[ReadLog | ReadResult | ReadStart, ...] = ()
    """Logs to read once, in the background."""
    read_events: tuple[ReadEvents, ...] = ()
    """Objects whose events to read in the background, at most once a minute each."""
    read_nodes: bool = False
    """Read the nodes in the background, where that is allowed, unless it was done a short time ago."""
