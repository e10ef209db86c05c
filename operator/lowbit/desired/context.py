"""Arguments that the functions which make objects share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lowbit.api.documents import OtherCandidate
from lowbit.api.engines.base import EngineSettings
from lowbit.api.modelevaluation import EvaluatedModel, ModelEvaluationSpec
from lowbit.api.modelrevision import ModelRevisionSpec
from lowbit.api.modelstore import ModelStoreSpec
from lowbit.api.platform import Platform
from lowbit.api.pods import JobOptions
from lowbit.api.serving import Serving


@dataclass(frozen=True)
class Context:
    """The namespace, its store, and the platform."""

    namespace: str
    store: ModelStoreSpec
    platform: Platform


@dataclass(frozen=True)
class JobQueue:
    """What a manifest says on who starts its Jobs."""

    name: str | None = None
    """Kueue's LocalQueue."""
    priority_class: str | None = None
    """Kueue's WorkloadPriorityClass."""
    place: str = ""
    """The model's place among those that wait for a GPU slot (RFC 3339): the earliest first."""


@dataclass(frozen=True)
class JobRun:
    """How one Job runs."""

    name: str
    options: JobOptions
    ttl: int
    """Seconds until the finished Job is removed."""
    memory_limit: str | None = None
    """Replaces the memory limit in the options."""
    queue: JobQueue = JobQueue()


@dataclass(frozen=True)
class Evaluation:
    """What an evaluate Job measures."""

    name: str
    """Name of the ModelEvaluation."""
    spec: ModelEvaluationSpec
    revision: ModelRevisionSpec
    """A ModelRevision that needs it."""
    engine: EngineSettings
    """CPU, memory and shared memory of the engine."""
    others: Sequence[OtherCandidate] = ()
    """Candidates that the report shows beside it."""


@dataclass(frozen=True)
class Served:
    """What a Deployment serves."""

    label: str
    """Value of the pods' revision label."""
    revision: ModelRevisionSpec
    model: EvaluatedModel
    size_bytes: int
    """Size of the model, which decides how long a start may take."""
    serving: Serving
    engine: EngineSettings
