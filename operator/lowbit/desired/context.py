"""What every object is made in: given once, in place of a row of arguments."""

from __future__ import annotations

from dataclasses import dataclass

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
class JobRun:
    """How one Job runs."""

    name: str
    options: JobOptions
    ttl: int
    """Seconds for which it stays when it has finished."""
    memory_limit: str | None = None
    """In place of the limit in the options."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluate Job measures."""

    name: str
    """The ModelEvaluation's."""
    spec: ModelEvaluationSpec
    revision: ModelRevisionSpec
    """One that asks for it."""
    engine: EngineSettings
    """CPU, memory and shared memory of the engine."""


@dataclass(frozen=True)
class Served:
    """What a Deployment serves."""

    label: str
    """The revision in the pods' label."""
    revision: ModelRevisionSpec
    model: EvaluatedModel
    size_bytes: int
    """Decides how long a start may take."""
    serving: Serving
    engine: EngineSettings
