"""What a recipe declares: one file here, one backend of the same name in worker/backends, one line in the registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from lowbit.api.base import Digest, Wire
from lowbit.api.facts import ModelFacts
from lowbit.api.problem import Problem
from lowbit.api.rule import Rule

Spec = TypeVar("Spec", bound=Wire)
Resolved = TypeVar("Resolved", bound=Wire)


@dataclass(frozen=True)
class Fitting:
    """The model and the tensor parallel size that a recipe has to fit."""

    facts: ModelFacts
    tensor_parallel_size: int


class RecipeKind(ABC, Generic[Spec, Resolved]):
    """One member of `candidates[]`."""

    name: ClassVar[str]
    """The member's name in a manifest, and its backend's in the worker."""
    description: ClassVar[str]
    """For `kubectl explain`."""
    spec: type[Spec]
    """What a person writes."""
    resolved: type[Resolved]
    """The same with every default filled in, as it is frozen in a ModelRevision."""
    rules: ClassVar[tuple[Rule, ...]] = ()
    """Rules on `spec` that a schema cannot say."""
    made_here: ClassVar[bool] = True
    """A quantize Job makes the artifact. Otherwise prepare finds it."""
    calibrated: ClassVar[bool] = True
    """The quantizer reads calibration texts."""
    version: ClassVar[int] = 1
    """Raised when the quantizer would make other weights from the same inputs."""
    quant_methods: ClassVar[tuple[str, ...]] = ()
    """What the engine calls such artifacts: `quantization_config.quant_method` in their config.json."""
    loadable: ClassVar[str] = ""
    """The settings that the engine loads, in words, for people who make such an artifact elsewhere."""

    @abstractmethod
    def label(self, resolved: Resolved) -> str:
        """Short name of the recipe: gptq-int4-g64."""

    @abstractmethod
    def resolve(self, spec: Spec, fitting: Fitting, found: Digest | None) -> Resolved:
        """The recipe with every default filled in. found: digest of an artifact that was made elsewhere."""

    @abstractmethod
    def draft_label(self, spec: Spec, fitting: Fitting | None) -> str:
        """The label before prepare has run. Without a model, what the model decides stays Auto."""

    def reads(self, spec: Spec) -> tuple[Wire, ...]:
        """Locations that prepare reads: types with members pvc, s3, huggingFace."""
        return ()

    def problems(self, spec: Spec, fitting: Fitting) -> list[Problem]:
        """Problems with the model or the engine's layout. Fields are relative to `spec`."""
        return []

    def artifact_bytes(self, spec: Spec, fitting: Fitting) -> int | None:
        """Estimated bytes of the artifact's files; None if unknown."""
        return None

    def not_loaded(self, settings: Mapping[str, Any], fitting: Fitting) -> list[str]:
        """Why the engine would not load an artifact with these settings (its config.json's quantization_config)."""
        return []
