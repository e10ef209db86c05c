"""How pods are placed: one type for the pods of every stage and of serving."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field

from lowbit.api.base import OtherName, QuantityString, QueueName, Wire
from lowbit.api.engine import Device, EnvironmentVariable, Resources
from lowbit.api.references import SecretReference

CODE_PREFIXES: Final = ("PYTHON", "LD_")
CODE_VARIABLES: Final = ("HOME", "PATH", "TMPDIR")
"""Variables that say where a program finds code, or keeps what is its own: Lowbit sets them itself."""


def may_be_set(variable: str) -> bool:
    """Whether a manifest may set this variable for one of Lowbit's own containers."""
    return not variable.startswith(CODE_PREFIXES) and variable not in CODE_VARIABLES


class Toleration(Wire):
    """A taint that the pods tolerate; see Kubernetes' core/v1 Toleration."""

    key: str | None = Field(default=None, max_length=317)
    """Key of the taint."""
    operator: Literal["Exists", "Equal"] | None = None
    """How key and value are compared."""
    value: str | None = Field(default=None, max_length=63)
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint."""
    toleration_seconds: int | None = Field(default=None, ge=0, le=2**31 - 1)
    """How long NoExecute is tolerated."""


class PodOptions(Wire):
    """Where and how the pods of one stage run."""

    resources: Resources = Resources()
    """Requests and limits of the stage's own container (the engine has its own in spec.engine)."""
    node_selector: dict[str, str] = Field(default_factory=dict, max_length=64)
    """Labels that a node must have."""
    tolerations: list[Toleration] = Field(default_factory=list, max_length=32)
    """Taints that are tolerated."""
    affinity: dict[str, Any] | None = None
    """Kubernetes' core/v1 Affinity."""
    annotations: dict[str, str] = Field(default_factory=dict, max_length=64)
    """Annotations of the pods."""
    env: list[EnvironmentVariable] = Field(default_factory=list, max_length=64)
    """Environment of the stage's own container. PYTHON*, LD_*, HOME, PATH and TMPDIR are Lowbit's own."""
    runtime_class_name: OtherName | None = None
    """RuntimeClass of the pods."""
    priority_class_name: OtherName | None = None
    """PriorityClass of the pods."""
    service_account_name: OtherName | None = None
    """ServiceAccount of the pods, for a cloud identity; its token is not mounted."""
    image_pull_secrets: list[SecretReference] = Field(default_factory=list, max_length=8)
    """Secrets for pulling images."""


class JobOptions(PodOptions):
    """How the Job of one stage runs."""

    deadline_seconds: int = Field(default=21_600, ge=60, le=1_209_600)
    """Fail the Job after this many seconds."""
    max_memory: QuantityString | None = None
    """Retry a Job that ran out of memory once, with twice its memory limit, up to this. Without it: no retry."""


class QuantizeOptions(JobOptions):
    """How the quantize Job runs."""

    device: Device = "GPU"
    """GPU asks for one GPU; CPU asks for none, and is slow."""


class Jobs(Wire):
    """How the Jobs of each stage run."""

    prepare: JobOptions = JobOptions()
    """Copies source and datasets into the store and checks them; and asks what serves the prompts of the showcase.
    Never asks for a GPU."""
    quantize: QuantizeOptions = QuantizeOptions()
    """Makes the artifact."""
    evaluate: JobOptions = JobOptions()
    """Measures a model in the engine; the engine's own needs are in spec.engine."""
    queue_name: QueueName | None = None
    """The LocalQueue of Kueue that admits the Jobs, those without GPUs as well: they are made suspended, and Kueue
    alone starts them. Without it: the platform's, for Jobs with GPUs."""
    workload_priority_class_name: QueueName | None = None
    """Kueue's WorkloadPriorityClass of the Jobs in a queue. Without it: the platform's."""
    ttl_seconds: int = Field(default=86_400, ge=60, le=2_592_000)
    """Remove finished Jobs after this many seconds; nothing is lost by it. Jobs that failed permanently stay."""
