"""A topology: which pods hold one engine, in evaluation and in serving alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from lowbit.api.engines import ResolvedEngine
from lowbit.desired.common import Manifest, OwnerReference
from lowbit.desired.context import Context, Evaluation, JobRun, Served
from lowbit.desired.group.followers import Leader


@dataclass(frozen=True)
class EnginePod:
    """One of the pods that hold an engine."""

    role: str
    """engine, where it is the only one."""
    gpus: int


class Topology(ABC):
    """One shape of pods."""

    name: ClassVar[str]
    workload_kinds: ClassVar[tuple[str, ...]]
    """Kinds of the objects that keep serving pods."""

    @abstractmethod
    def holds(self, engine: ResolvedEngine) -> bool:
        """Whether this is the shape of the engine."""

    @abstractmethod
    def pods(self, engine: ResolvedEngine) -> tuple[EnginePod, ...]:
        """The pods of one engine, the one that answers first."""

    @abstractmethod
    def workloads(
        self, context: Context, owner: OwnerReference, name: str, served: Served, guard: str
    ) -> list[Manifest]:
        """Manifests of the objects that keep the serving pods. guard: name of the guard's ConfigMap."""

    @abstractmethod
    def without_pods(self, workload: Manifest) -> Manifest:
        """One of these manifests, so that it keeps no pod."""

    @abstractmethod
    def paused(self, workload: Manifest) -> Manifest:
        """One of these manifests, so that no new pod comes, and old ones stay."""

    def followers(self, context: Context, name: str, served: Served, leader: Leader) -> Manifest | None:
        """What keeps the other pods of a serving pod's engine; None if it has no others."""
        return None

    def beside_evaluation(self, namespace: str, owner: OwnerReference, evaluation: str) -> list[Manifest]:
        """What an evaluation's Job needs beside it. owner: the ModelEvaluation."""
        return []

    @abstractmethod
    def evaluation(
        self, context: Context, owners: Sequence[OwnerReference], evaluation: Evaluation, run: JobRun
    ) -> Manifest:
        """The Job that measures a model in such an engine. Raises DocumentTooLarge."""
