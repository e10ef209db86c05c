"""What an engine declares. Each kind is one file here, one client of the same name in worker/engines, and one line in the registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Literal, TypeVar

from pydantic import Field

from lowbit.api.base import QuantityString, Wire
from lowbit.api.engine import Argument, Device, EnvironmentVariable, Resources
from lowbit.api.facts import ModelFacts
from lowbit.api.platform import Platform
from lowbit.api.problem import Problem
from lowbit.api.rule import Rule

Capability = Literal["PromptLogprobs"]
"""What not every engine can do, and a suite may need. PromptLogprobs: it says how likely it finds each token of a prompt."""


class EngineSettings(Wire):
    """What every engine takes from a manifest. Evaluation and serving run it with the same image, arguments and environment."""

    image: str | None = Field(default=None, max_length=512, min_length=1)
    """The engine's image; where nothing is said, the platform's. Frozen when a revision is made."""
    device: Device = "GPU"
    """GPU asks for as many GPUs as the engine shares a layer among; CPU asks for none."""
    max_model_len: int | None = Field(default=None, ge=16, le=10_000_000)
    """Longest prompt and answer together, in tokens; where nothing is said, what the model's config allows."""
    shm_size: QuantityString = "1Gi"
    """Size of /dev/shm, which the engine's processes share."""
    args: list[Argument] = Field(default_factory=list, max_length=64)
    """Further arguments of the engine. What Lowbit sets itself is refused."""
    env: list[EnvironmentVariable] = Field(default_factory=list, max_length=64)
    """Environment of the engine."""
    resources: Resources = Resources()
    """Requests and limits of the engine's container."""


class ResolvedSettings(Wire):
    """What can change an answer, with nothing left open. Memory and CPU are not in it: they need no new verdict."""

    image: str
    device: Device
    max_model_len: int | None = None
    args: list[str]
    env: list[EnvironmentVariable]


@dataclass(frozen=True)
class Only:
    """What only measuring or only serving adds. None of it changes an answer."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    log_configuration: str | None = None
    """A file for the container, at ENGINE_LOGGING_PATH; None where the engine needs none."""


@dataclass(frozen=True)
class Request:
    """What is asked of an engine on loopback, and a piece of its answer."""

    path: str
    body: str
    """JSON."""
    expected: str


Spec = TypeVar("Spec", bound=EngineSettings)
Resolved = TypeVar("Resolved", bound=ResolvedSettings)


class EngineKind(ABC, Generic[Spec, Resolved]):
    """One member of `engine`."""

    name: ClassVar[str]
    """The member's name in a manifest, and its client's in the worker."""
    description: ClassVar[str]
    """For `kubectl explain`."""
    spec: type[Spec]
    """What a person writes."""
    resolved: type[Resolved]
    """The same with nothing left open, as it is frozen in a ModelRevision."""
    rules: ClassVar[tuple[Rule, ...]] = ()
    """Rules on `spec` that a schema cannot say."""
    formats: ClassVar[frozenset[str]]
    """What it loads beside unquantized models, as `quantization_config.quant_method` names it."""
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    """What it can do beside generating."""
    command: ClassVar[tuple[str, ...]]
    """Of the container, before its arguments."""

    @abstractmethod
    def resolve(self, spec: Spec, platform: Platform, env: list[EnvironmentVariable]) -> Resolved:
        """Nothing left open. env: with the platform's."""

    @abstractmethod
    def ranks(self, spec: Spec) -> int:
        """Devices that share every layer."""

    @abstractmethod
    def devices(self, resolved: Resolved) -> int:
        """GPUs of one engine; 0 on CPUs."""

    @abstractmethod
    def arguments(self, served_name: str, resolved: Resolved) -> Sequence[str]:
        """What evaluation and serving share."""

    @abstractmethod
    def measuring(self, resolved: Resolved) -> Only:
        """What only measuring adds."""

    @abstractmethod
    def serving(self, drain_seconds: int) -> Only:
        """What only serving adds: requests in flight at the end are finished first."""

    @abstractmethod
    def first_request(self, served_name: str) -> Request:
        """A completion of one token: an engine can be healthy, and die at its first request."""

    def environment(self) -> Mapping[str, str]:
        """Variables of the container; the manifest's own win."""
        return {}

    def problems(self, spec: Spec, facts: ModelFacts) -> list[Problem]:
        """What does not fit the model; fields are members of `spec`."""
        return []
