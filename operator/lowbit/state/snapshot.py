"""The input of a decision: one QuantizedModel and all that belongs to it, as last seen.

observe builds it; nothing here depends on how. A decision must cope with any combination of these values.

Objects of other models are looked up by name and never iterated, so that the cost of a decision does not grow with the
number of QuantizedModels.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from lowbit.api.documents import ProgressLine
from lowbit.api.modelevaluation import ModelEvaluation
from lowbit.api.modelrevision import ModelRevision
from lowbit.api.modelstore import ModelStore
from lowbit.api.platform import Platform
from lowbit.api.quantizedmodel import QuantizedModel
from lowbit.api.termination import TerminationMessage

Body = TypeVar("Body")


@dataclass(frozen=True)
class Owner:
    """One owner reference."""

    kind: str
    name: str
    uid: str
    controller: bool = False


@dataclass(frozen=True)
class Metadata:
    """The part of an object's metadata that decisions use."""

    name: str
    namespace: str
    uid: str
    resource_version: str
    generation: int = 0
    creation_timestamp: str = ""
    """RFC 3339."""
    deleting: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    owners: tuple[Owner, ...] = ()


@dataclass(frozen=True)
class Observed(Generic[Body]):
    """An object of one of Lowbit's own kinds, parsed."""

    meta: Metadata
    body: Body
    derived: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)
    """What decisions have worked out of it (decide/remembered.py)."""


@dataclass(frozen=True)
class ContainerState:
    """State of one container, as the kubelet reports it."""

    name: str
    running: bool = False
    ready: bool = False
    restarts: int = 0
    exit_code: int | None = None
    """Exit code of the last termination, current or previous."""
    reason: str | None = None
    """OOMKilled, Error, Completed; or, while waiting, ImagePullBackOff, CrashLoopBackOff, ..."""
    message: str | None = None
    """The termination message, or the waiting message."""
    image_id: str | None = None
    terminated_reason: str | None = None
    """Reason of the last termination (OOMKilled, Error, Completed), whatever it waits for now."""
    lived_seconds: float | None = None
    """Duration of its last run, if it has ended."""


@dataclass(frozen=True)
class EngineLog:
    """Findings in the log of an engine that has ended."""

    ends: int
    """How often the pod's engine had ended when the log was read."""
    error: str | None = None
    """The line that says why it ended."""
    kernels: tuple[str, ...] = ()
    """Kernels of quantized layers that it names."""
    last_lines: str = ""
    unread: str | None = None
    """Why the log could not be read; None if it was read."""


@dataclass(frozen=True)
class EngineStart:
    """What an engine that serves or measures shows of how it runs; read once in a pod's life."""

    uid: str
    """Of its pod."""
    kernels: tuple[str, ...] = ()
    """Kernels of quantized layers that its log names."""
    device: str | None = None
    """The product of its node's devices; None if the node does not say, or may not be read."""


@dataclass(frozen=True)
class Warned:
    """One Warning event of Kubernetes."""

    reason: str
    """FailedCreate, FailedMount, ..."""
    message: str


@dataclass(frozen=True)
class EventsRead:
    """Outcome of reading the events of a Job without a pod, or of a pod that does not start."""

    uid: str
    """Of the object that they are about."""
    at: float
    """When they were read (seconds since the epoch)."""
    warnings: tuple[Warned, ...] = ()
    """The newest first, each once."""
    unread: str | None = None
    """Why they could not be read; None if they were read."""


@dataclass(frozen=True)
class ResultRead:
    """Outcome of reading a result from a worker's log."""

    digest: str
    message: TerminationMessage | None = None
    """None if it could not be read."""
    unread: str | None = None
    """Why it could not be read."""


@dataclass(frozen=True)
class PodView:
    """One pod of a Job or of the serving Deployment."""

    meta: Metadata
    phase: str
    """Pending, Running, Succeeded, Failed, Unknown."""
    containers: tuple[ContainerState, ...]
    """Init containers and containers together, by their names (engine, worker, guard, fetch)."""
    ready: bool = False
    reason: str | None = None
    """Evicted, NodeLost, ..."""
    unschedulable: str | None = None
    """The scheduler's message, while no node fits."""
    gated: bool = False
    """Scheduling gates hold it back."""
    scheduled: bool = False
    """It has a node, and holds the GPUs that it asks for."""
    prepared: bool = False
    """Its volumes and its network are there: what is left is to pull images and to start containers."""
    idle_since: str | None = None
    """Since when nothing has run in a pod that is to start (RFC 3339). None once it has started."""
    silent_since: str | None = None
    """Since when it has a node and does not answer (RFC 3339). None without a node, and while it answers."""
    disrupted: bool = False
    """The condition DisruptionTarget holds."""
    node: str | None = None
    """The node that it is on."""
    address: str | None = None
    """Its address, once it has one."""
    engine_start: EngineStart | None = None
    """How its engine runs, once that was read."""
    engine_log: EngineLog | None = None
    """The log of its engine's last run, once it has ended and reading the log was tried."""
    events: EventsRead | None = None
    """Its events, if it did not start and reading them was tried."""


@dataclass(frozen=True)
class Taint:
    """A taint of a node."""

    key: str
    value: str
    effect: str

    @property
    def text(self) -> str:
        """As kubectl writes it: key=value:effect."""
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


@dataclass(frozen=True)
class NodeView:
    """A node that has GPUs or other extended resources."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    allocatable: Mapping[str, int]
    """Extended resources (nvidia.com/gpu), those in use included."""


@dataclass(frozen=True)
class Lingering:
    """A worker has ended, and its pod has not."""

    since: str
    """When the worker ended (RFC 3339)."""
    containers: tuple[str, ...]
    """The containers that live on: a mesh's proxy, as a rule."""


@dataclass(frozen=True)
class JobView:
    """One Job and its pods."""

    meta: Metadata
    state: Literal["Pending", "Running", "Succeeded", "Failed"]
    expires: bool = True
    """It has a time to live, after which Kubernetes removes it when finished."""
    failure_reason: str | None = None
    """Reason of the Job's Failed condition: BackoffLimitExceeded, DeadlineExceeded, PodFailurePolicy."""
    failure_message: str | None = None
    suspended: bool = False
    """Somebody (Kueue, Lowbit's own bound, a person) keeps it from having pods."""
    events: EventsRead | None = None
    """Its events, if it had no pod and reading them was tried."""
    started: str | None = None
    finished: str | None = None
    failed_pods: int = 0
    pods: tuple[PodView, ...] = ()
    """The newest first; of a group the leaders."""
    members: tuple[PodView, ...] = ()
    """Of a group: the newest pod of each other number."""
    termination: TerminationMessage | None = None
    """Termination message of the newest finished pod's worker, if it could be read."""
    finished_pod: str | None = None
    """The newest finished pod."""
    result_unread: str | None = None
    """Why a result that is in the log could not be read."""
    exit_code: int | None = None
    """Exit code of the newest finished worker container."""
    out_of_memory: str | None = None
    """The container of the newest finished pod that ran out of memory: worker, engine or fetch."""
    last_words: str | None = None
    """The end of the worker's log, if it failed without a termination message."""
    lingering: Lingering | None = None
    """Set while the newest pod's worker has ended, and other containers keep the pod and the Job from ending."""
    lived_on: tuple[str, ...] = ()
    """Containers that Lowbit had to end after the worker, with the whole Job."""
    engine_image_ids: tuple[str, ...] = ()
    """Image ids of the engine containers of an evaluate Job: the newest pod's first, each once."""
    progress: ProgressLine | None = None
    """The last progress line that was read from the log."""
    progress_read_at: float | None = None
    """When it was read (seconds since the epoch)."""


@dataclass(frozen=True)
class DeploymentView:
    """The serving Deployment."""

    meta: Metadata
    replicas: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    observed_generation: int = 0
    revision: str | None = None
    """The ModelRevision in the pod template's label, or "source" for the fallback."""
    paused: bool = False
    """Its controller makes no new pods."""
    stalled: str | None = None
    """Message of the condition Progressing=False."""
    refused: str | None = None
    """Message of the condition ReplicaFailure: why a pod is not created."""


@dataclass(frozen=True)
class WaitingJob:
    """A Job with GPUs that Lowbit has suspended until fewer of them run."""

    name: str
    uid: str
    resource_version: str
    place: str
    """RFC 3339: the earliest starts first."""


@dataclass(frozen=True)
class GpuJobs:
    """The Jobs with GPUs of one namespace that have not ended, without those in a queue of Kueue."""

    running: int = 0
    waiting: tuple[WaitingJob, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """The input of every decision."""

    model: Observed[QuantizedModel]
    invalid: str | None = None
    """Why the spec could not be parsed (it is older or newer than these types); model.body is then unusable."""
    store: Observed[ModelStore] | None = None
    revisions: tuple[Observed[ModelRevision], ...] = ()
    """Revisions with this QuantizedModel's label, the oldest first."""
    shared_revisions: Mapping[str, Sequence[Observed[ModelRevision]]] = field(default_factory=dict)
    """Revisions of any model in the namespace that have an artifact, by artifact hash, the oldest first."""
    evaluations: Mapping[str, Observed[ModelEvaluation]] = field(default_factory=dict)
    """All ModelEvaluations in the namespace, by name."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Why ModelEvaluations in the namespace cannot be parsed by these types, by name."""
    jobs: Mapping[str, JobView] = field(default_factory=dict)
    """All of Lowbit's Jobs in the namespace, by name."""
    mine: frozenset[tuple[str, str]] = frozenset()
    """(kind, name) of every object with this QuantizedModel's label or owner reference."""
    deployment: DeploymentView | None = None
    pods: tuple[PodView, ...] = ()
    """The serving pods of this QuantizedModel."""
    members: tuple[PodView, ...] = ()
    """The other pods of the groups that serve, the oldest first."""
    children: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    """Every other observed object that belongs to it (Service, ...), without managedFields, by (kind, name)."""
    present: Container[tuple[str, str]] = frozenset()
    """(kind, name) of every object in the namespace that was seen, whoever's it is."""
    nodes: tuple[NodeView, ...] | None = None
    """Nodes with GPUs, as last read; None where they may not be read, or were not yet."""
    gpu_jobs_running: int = 0
    """Jobs with GPUs that run in the namespace, whoever they are of, without those in a queue of Kueue."""
    platform: Platform = field(default_factory=Platform)
    has_pod_monitors: bool = False
    """Whether the cluster knows the kind PodMonitor."""
