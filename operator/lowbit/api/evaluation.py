"""Evaluation suites and the gates that judge them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from lowbit.api.base import DecimalString, ObjectName, Wire
from lowbit.api.engines import Engine
from lowbit.api.showcase import Showcase
from lowbit.api.suites import SUITES, AnySuite, gated
from lowbit.api.suites.base import dataset_key
from lowbit.api.suites.dataset import SuiteFile
from lowbit.api.suites.task_metrics import TASK_METRICS
from lowbit.api.tagged import Tagged, union

MAXIMA = tuple(metric.name for metric in gated() if metric.better == "Lower")
MINIMA = tuple(metric.name for metric in gated() if metric.better == "Higher")
NON_INFERIOR = tuple(metric.name for metric in TASK_METRICS if metric.loss is not None)


def explained(names: tuple[str, ...]) -> str:
    """For `kubectl explain`: what each of these metrics is."""
    known = {one.name: one for one in (*TASK_METRICS, *gated())}
    return " ".join(f"{name}: {known[name].explained or known[name].meaning}." for name in names)


if TYPE_CHECKING:
    MaximumMetric = str
    MinimumMetric = str
    NonInferiorMetric = str
else:
    MaximumMetric, MinimumMetric, NonInferiorMetric = Literal[MAXIMA], Literal[MINIMA], Literal[NON_INFERIOR]


class MaximumThreshold(Wire):
    """Passed when the upper confidence bound is at most the value, failed when the lower one is above it."""

    metric: MaximumMetric = Field(description=explained(MAXIMA))
    value: DecimalString
    """The largest value that is good enough."""
    per_class: bool = False
    """Judge each class on its own: all must pass."""


class MinimumThreshold(Wire):
    """Passed when the lower confidence bound is at least the value, failed when the upper one is below it."""

    metric: MinimumMetric = Field(description=explained(MINIMA))
    value: DecimalString
    """The smallest value that is good enough."""
    per_class: bool = False
    """Judge each class on its own: all must pass."""


class NonInferiorityThreshold(Wire):
    """Passed when the loss against the original, paired sample by sample, is at most the margin with confidence."""

    metric: NonInferiorMetric = Field(description=explained(NON_INFERIOR))
    margin: DecimalString
    """How much worse than the original is good enough: "0.02" is two points."""
    per_class: bool = False
    """Judge each class on its own: all must pass."""


class SuiteGate(Wire):
    """What a suite's results must show. At least one threshold."""

    maximum: list[MaximumThreshold] = Field(default_factory=list, max_length=8)
    """Metrics that must stay at or below a value."""
    minimum: list[MinimumThreshold] = Field(default_factory=list, max_length=8)
    """Metrics that must stay at or above a value."""
    non_inferiority: list[NonInferiorityThreshold] = Field(default_factory=list, max_length=8)
    """Metrics that may be worse than the original's by no more than a margin."""
    original: list[MinimumThreshold] = Field(default_factory=list, max_length=8)
    """What the original itself must reach. A suite in which it does not proves nothing, and nothing passes."""
    confidence: DecimalString = "0.95"
    """One-sided confidence of each bound, divided over the declared candidates; from 0.8 to below 1."""

    def asked(self) -> list[str]:
        """Metrics that the gate has a threshold for."""
        absolute = [each.metric for each in self.maximum] + [each.metric for each in self.minimum]
        return absolute + [each.metric for each in self.non_inferiority]


class GatedSuite(Tagged):
    """Fields of every suite."""

    common: ClassVar[frozenset[str]] = frozenset({"name", "gate"})
    name: ObjectName
    """Name of the suite in messages and reports."""
    gate: SuiteGate
    """What decides. Every suite's gate must pass."""


class NamedSuite(Tagged):
    """Fields of every resolved suite."""

    common: ClassVar[frozenset[str]] = frozenset({"name", "version"})
    name: str
    version: int
    """Version of the scorer; raised when a number would come out differently."""


if TYPE_CHECKING:

    class Suite(GatedSuite):
        """One thing that is measured, and its gate. Exactly one member."""

    class ResolvedSuite(NamedSuite):
        """A suite with its datasets frozen. The gate is apart, so that a new threshold needs no new measurement."""

else:
    Suite = union(
        "Suite", "One thing that is measured, and its gate. Exactly one member.",
        {kind.name: (kind.spec, kind.description) for kind in SUITES}, GatedSuite,
    )  # fmt: skip
    ResolvedSuite = union(
        "ResolvedSuite", "A suite with its datasets frozen. Exactly one member.",
        {kind.name: (kind.resolved, kind.description) for kind in SUITES}, NamedSuite,
    )  # fmt: skip


def suite_of(suite: Suite | ResolvedSuite) -> tuple[AnySuite, Wire]:
    """The kind of a suite, and its settings."""
    name, member = suite.member()
    return SUITES[name], member


def starts_of(suite: ResolvedSuite) -> int:
    """How often each model's engine is started in turn for a suite; 0 if its sides are measured separately."""
    kind, settings = suite_of(suite)
    return max(1, kind.starts(settings)) if kind.pairing == "Interleaved" else 0


def datasets_of(suite: Suite) -> Mapping[str, SuiteFile]:
    """Files of a suite, by their keys in PrepareResult.datasets."""
    kind, settings = suite_of(suite)
    return {dataset_key(suite.name, field): dataset for field, dataset in kind.datasets(settings).items()}


def data_of(suite: ResolvedSuite) -> set[tuple[str, str]]:
    """(dataset key, digest) of every dataset that a resolved suite reads."""
    kind, settings = suite_of(suite)
    return {(dataset_key(suite.name, field), digest) for field, digest in kind.digests(settings).items()}


class SpeedMeasurement(Wire):
    """How speed is measured in the serving engine. It is reported, and decides nothing."""

    requests: int = Field(default=32, ge=1, le=4096)
    """Requests sent at once in the second of the two measurements (the first sends one after another)."""
    prompt_tokens: int = Field(default=128, ge=1, le=32_768)
    """Length of each prompt."""
    output_tokens: int = Field(default=64, ge=2, le=4096)
    """Tokens generated for each request."""


class Baseline(Wire):
    """How the original is measured."""

    engine: Engine | None = None
    """The engine of the original alone, whole: nothing is taken over from spec.engine. For an original that needs more
    than its candidates, such as more GPUs. It also serves the original where serving.fallback asks for that. The
    report says that the two engines differ."""


AttemptsPolicy = Literal["Warn", "Spend"]
Compare = Literal["FirstPassing", "All"]


class Evaluation(Wire):
    """How the candidate is compared with the original, in the engine that will serve it."""

    compare: Compare = "FirstPassing"
    """FirstPassing: candidates after the first that passes are neither made nor measured. All: they are, once the first
    one serves, and status.comparison shows every candidate beside the original; which one is served does not change."""

    suites: list[Suite] = Field(min_length=1, max_length=16)
    """What is measured; all gates must pass."""
    attempts: AttemptsPolicy = "Warn"
    """What it costs to judge another manifest on the same samples: each is another chance to pass by luck. They are
    counted across renamed suites, edited datasets and re-created models. Warn: told from the second on. Spend: the
    error of attempt j is divided by j (j + 1), so that all attempts together err no more often than confidence says."""
    speed: SpeedMeasurement = SpeedMeasurement()
    """How speed is measured."""
    baseline: Baseline = Baseline()
    """How the original is measured, if otherwise than its candidates."""
    showcase: Showcase | None = None
    """Prompts whose answers are shown side by side in the report, and asked again once a new revision serves."""


class ResolvedGate(Wire):
    """The gate of one suite, frozen in a ModelRevision."""

    suite: str
    maximum: list[MaximumThreshold]
    minimum: list[MinimumThreshold]
    non_inferiority: list[NonInferiorityThreshold] = Field(default_factory=list)
    original: list[MinimumThreshold] = Field(default_factory=list)
    confidence: DecimalString
