"""Evaluation suites and the gates that judge them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lowbit.api.base import DecimalString, Digest, ObjectName, Wire
from lowbit.api.calibration import DatasetFormat
from lowbit.api.references import ConfigMapLocation, PVCLocation, S3Location

MaximumMetric = Literal["KLDivergence", "PerplexityRatio"]
MinimumMetric = Literal["Top1Agreement"]
Metric = Literal["KLDivergence", "PerplexityRatio", "Top1Agreement"]


class EvaluationDataset(Wire):
    """One JSONL file of held-out texts or chats. Exactly one of pvc, s3 and configMap."""

    format: DatasetFormat = "Auto"
    """Text: a field `text` (or a JSON string) per line. Chat: a field `messages`. Auto: told from the first line."""
    pvc: PVCLocation | None = None
    """A file on a volume."""
    s3: S3Location | None = None
    """An object in an S3-compatible bucket."""
    config_map: ConfigMapLocation | None = None
    """A key of a ConfigMap."""


class Fidelity(Wire):
    """Teacher forcing: both models read the same held-out texts, and their next-token distributions are compared. Every value is
    a mean over texts of the mean over their tokens, and its standard error counts texts: tokens of one text are not
    independent."""

    dataset: EvaluationDataset
    """Held-out texts. They must not be among the calibration texts."""
    samples: int = Field(default=256, ge=2, le=100_000)
    """How many texts are read (fewer where the dataset has fewer)."""
    max_tokens: int = Field(default=512, ge=16, le=32_768)
    """Texts are cut at so many tokens."""
    top_logprobs: int = Field(default=100, ge=20, le=100)
    """Likely tokens that are compared one by one at each position; the rest is one remainder bucket, so that KLDivergence is
    a lower bound of the true divergence: 0.8 to 0.9 of it with 100 tokens and 0.65 to 0.75 with 20 on good candidates, less on
    badly damaged ones (0.7 and 0.5 at three bits), as far as was measured.
    Values of different numbers cannot be compared. Memory, time and the size of the stored samples grow with it."""


class MaximumThreshold(Wire):
    """Passed when the upper confidence bound is at most the value, failed when the lower one is above it."""

    metric: MaximumMetric
    """KLDivergence: KL(original || candidate) of the next token over the topLogprobs likely tokens, in nats, a lower bound of the
    true divergence; mean over texts of the mean over their tokens. PerplexityRatio: candidate / original, exp of the mean over
    texts of the difference of their mean losses."""
    value: DecimalString
    """The largest value that is good enough."""


class MinimumThreshold(Wire):
    """Passed when the lower confidence bound is at least the value, failed when the upper one is below it."""

    metric: MinimumMetric
    """Top1Agreement: share of tokens where both models rank the same token first; mean over texts of the shares in each."""
    value: DecimalString
    """The smallest value that is good enough."""


class SuiteGate(Wire):
    """What a suite's results must show. At least one threshold."""

    maximum: list[MaximumThreshold] = Field(default_factory=list, max_length=8)
    """Metrics that must stay at or below a value."""
    minimum: list[MinimumThreshold] = Field(default_factory=list, max_length=8)
    """Metrics that must stay at or above a value."""
    confidence: DecimalString = "0.95"
    """One-sided confidence of each bound, divided over the declared candidates; from 0.5 to below 1."""


class Suite(Wire):
    """One thing that is measured, and its gate."""

    name: ObjectName
    """Name of the suite in messages and reports."""
    fidelity: Fidelity
    """Compare next-token distributions on held-out texts."""
    gate: SuiteGate
    """What decides. Every suite's gate must pass."""


class SpeedMeasurement(Wire):
    """How speed is measured in the serving engine. It is reported, and decides nothing."""

    requests: int = Field(default=32, ge=1, le=4096)
    """Requests sent at once in the second of the two measurements (the first sends one after another)."""
    prompt_tokens: int = Field(default=128, ge=1, le=32_768)
    """Length of each prompt."""
    output_tokens: int = Field(default=64, ge=2, le=4096)
    """Tokens generated for each request."""


class Evaluation(Wire):
    """How the candidate is compared with the original, in the engine that will serve it."""

    suites: list[Suite] = Field(min_length=1, max_length=16)
    """What is measured; all gates must pass."""
    speed: SpeedMeasurement = SpeedMeasurement()
    """How speed is measured."""


class ResolvedSuite(Wire):
    """A suite with its dataset frozen; the gate is kept apart, so that a new threshold needs no new measurement."""

    name: str
    dataset: Digest
    format: DatasetFormat
    samples: int
    max_tokens: int
    top_logprobs: int


class ResolvedGate(Wire):
    """The gate of one suite, frozen in a ModelRevision."""

    suite: str
    maximum: list[MaximumThreshold]
    minimum: list[MinimumThreshold]
    confidence: DecimalString
