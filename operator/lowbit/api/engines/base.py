"""What an engine declares: one file here, one client of the same name in worker/engines, one line in the registry."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar, Final, Generic, Literal, TypeVar

from pydantic import Field

from lowbit.api.base import QuantityString, Wire
from lowbit.api.engine import Argument, Device, EngineChanges, EnvironmentVariable, Resources
from lowbit.api.facts import ModelFacts
from lowbit.api.platform import Platform
from lowbit.api.problem import Problem
from lowbit.api.rule import Rule

TOKEN_VARIABLE: Final = "RAY_AUTH_TOKEN"  # noqa: S105 - the name of a variable
"""Where the programs of a group find its token."""

Capability = Literal["PromptLogprobs", "StructuredOutputs"]
"""An ability that a suite may need and not every engine has. PromptLogprobs: it returns each prompt token's logprob.
StructuredOutputs: it lets an answer be only one of some choices, or what a regular expression or a schema allows."""


class EngineSettings(Wire):
    """Settings of every engine in a manifest. They are the same in evaluation and in serving."""

    image: str | None = Field(default=None, max_length=512, min_length=1)
    """The engine's image; by default the platform's. Frozen when a revision is made."""
    device: Device = "GPU"
    """GPU asks for as many GPUs as the engine shares a layer among; CPU asks for none."""
    gpu: str | None = Field(default=None, min_length=1, max_length=63)
    """The GPU that it will run on, as the node label nvidia.com/gpu.product names it, or its memory (80Gi). A model
    that does not fit is refused before anything starts. To run on such a GPU takes a nodeSelector as well."""
    max_model_len: int | None = Field(default=None, ge=16, le=10_000_000)
    """Longest prompt and answer together, in tokens; by default what the model's config allows."""
    shm_size: QuantityString = "1Gi"
    """Size of /dev/shm, which the engine's processes share."""
    args: list[Argument] = Field(default_factory=list, max_length=64)
    """Further arguments of the engine. What Lowbit sets itself is refused."""
    env: list[EnvironmentVariable] = Field(default_factory=list, max_length=64)
    """Environment of the engine."""
    resources: Resources = Resources()
    """Requests and limits of the engine's container."""


class ResolvedSettings(Wire):
    """All settings that can change an answer, every default filled in.

    Memory and CPU are left out: a change of them needs no new verdict.
    """

    image: str
    device: Device
    max_model_len: int | None = None
    args: list[str]
    env: list[EnvironmentVariable]


@dataclass(frozen=True)
class Only:
    """What only evaluation or only serving adds to the engine's container. None of it changes an answer."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    log_configuration: str | None = None
    """A file for the container, at ENGINE_LOGGING_PATH; None if the engine needs none."""


@dataclass(frozen=True)
class Programs:
    """What the pods of a group run, one program after the other; the last one is the engine.

    In arguments @LEADER@ and @ADDRESS@ stand for the addresses of the leader's pod and of a pod's own, @RANK@ for its
    number in the group; the leader has 0.
    """

    lead: Sequence[Sequence[str]]
    """Of the leader, whose engine answers."""
    follow: Sequence[Sequence[str]]
    """Of every other pod."""
    token: bool = False
    """They ask each other for the group's token, in the variable TOKEN_VARIABLE."""


@dataclass(frozen=True)
class Request:
    """A request to an engine on loopback, and text that its answer must contain."""

    path: str
    body: str
    """JSON."""
    expected: str


@dataclass(frozen=True)
class LogWords:
    """How an engine's log says which kernels it chose, and why it ended."""

    kernel: re.Pattern[str]
    """Two groups: a kernel for quantized layers, and the layers."""
    general: str
    """What the log calls layers in general: a kernel that is also named for a format's own layers is told for those."""
    not_kernels: tuple[str, ...]
    """Words of lines that match `kernel`, and are about something else."""
    error: re.Pattern[str]
    """A whole line that may say why the engine ended."""
    consequences: tuple[str, ...]
    """Words of lines that match `error`, and only say that another process has ended."""
    prefixes: tuple[re.Pattern[str], ...]
    """Taken from the beginning of each line, one after the other."""


@dataclass(frozen=True)
class Asked:
    """What a manifest, or a candidate in it, asks of an engine beside the typed settings."""

    image: str | None
    args: Sequence[str]
    env: Sequence[EnvironmentVariable]


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
    """The same with every default filled in, as it is frozen in a ModelRevision."""
    rules: ClassVar[tuple[Rule, ...]] = ()
    """Rules on `spec` that a schema cannot say."""
    change_rules: ClassVar[tuple[Rule, ...]] = ()
    """Rules on what a candidate changes in it, beside those on args and env."""
    beside: ClassVar[frozenset[str]] = frozenset()
    """Attributes of `spec` that change no answer, beside CPU and memory: no revision is made of them, and a change of
    one needs no new verdict. beside_answers() renders them."""
    formats: ClassVar[frozenset[str]]
    """Formats that it loads beside unquantized models, as `quantization_config.quant_method` names them."""
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    """Abilities beside generating."""
    address_variables: ClassVar[tuple[str, ...]] = ()
    """Variables in which it looks for its pod's own address, in a group."""
    command: ClassVar[tuple[str, ...]]
    """Command of the container, before its arguments."""
    log_words: ClassVar[LogWords]
    """Of the container's log."""

    @abstractmethod
    def resolve(self, spec: Spec, platform: Platform, env: list[EnvironmentVariable]) -> Resolved:
        """The settings with every default filled in. env: the manifest's variables and the platform's."""

    def changed(self, spec: Spec, changes: EngineChanges) -> Spec:
        """The settings with what a candidate changes: its arguments come last, its variables replace others."""
        replaced = {variable.name for variable in changes.env}
        kept = [variable for variable in spec.env if variable.name not in replaced]
        return spec.model_copy(update={"args": spec.args + changes.args, "env": kept + changes.env})

    @abstractmethod
    def ranks(self, spec: Spec) -> int:
        """The tensor parallel size: devices that share every layer."""

    def memory_share(self, spec: Spec) -> Decimal:
        """Share of a GPU's memory that it takes."""
        return Decimal(1)

    def stages(self, spec: Spec) -> int:
        """The pipeline parallel size: groups of devices, each with layers of its own."""
        return 1

    def cache_bits(self, spec: Spec) -> float:
        """Bits of one value in the cache of keys and values."""
        return 16

    def offloaded(self, spec: Spec) -> int:
        """Bytes of the weights that each device leaves in the host's memory."""
        return 0

    def at_once(self, spec: Spec) -> int | None:
        """Requests that it computes at once at most; None if the engine decides."""
        return None

    @abstractmethod
    def devices(self, resolved: Resolved) -> int:
        """GPUs of each of an engine's pods; 0 on CPUs."""

    def group_size(self, resolved: Resolved) -> int | None:
        """Pods that hold one engine together; None for one pod that needs no group."""
        return None

    def programs(self, served_name: str, resolved: Resolved, only: Only) -> Programs:
        """What the pods of a group run: in each the engine, told the same, unless the kind knows more of groups."""
        engine = (*self.command, *self.arguments(served_name, resolved), *only.arguments)
        return Programs(lead=[engine], follow=[engine])

    def asks_token(self, spec: Spec) -> bool:
        """Whether the pods of its groups know each other by a token."""
        return False

    def group_environment(self, resolved: Resolved, interface: str | None) -> Mapping[str, str]:
        """Environment of the pods of a group. interface: the network interface by which they reach each other."""
        return {}

    @abstractmethod
    def arguments(self, served_name: str, resolved: Resolved) -> Sequence[str]:
        """Arguments that evaluation and serving share."""

    @abstractmethod
    def measuring(self, resolved: Resolved) -> Only:
        """What only evaluation adds."""

    @abstractmethod
    def serving(self, drain_seconds: int) -> Only:
        """What only serving adds. An engine that is stopped finishes requests in flight first."""

    def beside_answers(self, spec: Spec, resolved: Resolved) -> Sequence[str]:
        """Arguments of the attributes in `beside`, for serving alone, by the manifest of now."""
        return ()

    @abstractmethod
    def first_request(self, served_name: str) -> Request:
        """A completion of one token, for the start-up probe: a healthy engine may die at its first request."""

    def platform_rules(self, platform: Platform) -> tuple[Rule, ...]:
        """Rules on `spec` that depend on the platform; those on args and env hold for a candidate's changes too."""
        return ()

    def not_allowed(self, asked: Asked, platform: Platform) -> list[Problem]:
        """Arguments, variables and an image that a manifest may not use. Fields are relative to `spec`."""
        return []

    def not_in_version(self, spec: Spec, platform: Platform) -> list[Problem]:
        """Settings that the image's version of the engine lacks. Fields are relative to `spec`."""
        return []

    def environment(self) -> Mapping[str, str]:
        """Environment of the container; the manifest's variables override it."""
        return {}

    def problems(self, spec: Spec, facts: ModelFacts) -> list[Problem]:
        """Problems between the settings and the model. Fields are relative to `spec`."""
        return []
