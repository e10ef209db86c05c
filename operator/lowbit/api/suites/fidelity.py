"""Fidelity: how far the candidate's next-token distributions are from the original's, by teacher forcing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from lowbit.api.base import DecimalString, Digest, Wire
from lowbit.api.calibration import DatasetFormat
from lowbit.api.suites.base import SuiteKind
from lowbit.api.suites.dataset import EvaluationDataset
from lowbit.api.suites.fidelity_metrics import FIDELITY_METRICS, ON_ANSWERS


class Answers(Wire):
    """Answers that the original generates once. The candidate reads them, and generates along them."""

    prompt_tokens: int = Field(default=128, ge=1, le=32_768)
    """Longest prompt in tokens: a chat up to its last answer, or the first half of a text; longer ones are cut."""
    output_tokens: int = Field(default=64, ge=8, le=4096)
    """Longest answer in tokens."""
    temperature: DecimalString = "0"
    """Of the original's sampling; 0 is greedy. With more, the candidate leaves the answer more often, and each time it
    is another request that leads it back."""
    seed: int = Field(default=0, ge=0, le=1_000_000)
    """Of the original's sampling."""


class Fidelity(Wire):
    """Teacher forcing: both models read the same held-out texts, and their next-token distributions are compared. Every
    value is a mean over texts of the mean over their tokens, and its standard error counts texts: tokens of one text
    are not independent."""

    dataset: EvaluationDataset
    """Held-out texts. They must not be among the calibration texts."""
    samples: int = Field(default=256, ge=80, le=100_000)
    """How many texts are read: drawn by chance, the same each time (fewer where the dataset has fewer). Texts that are
    equal, or that have fewer than 17 tokens, do not count. A gate needs 149 with one candidate, 183 with two, 203 with
    three (at confidence 0.95)."""
    max_tokens: int = Field(default=512, ge=17, le=32_768)
    """Longest text in tokens; longer ones are cut."""
    top_logprobs: int = Field(default=100, ge=20, le=100)
    """Likely tokens that are compared one by one at each position; the rest is one remainder bucket, so that
    KLDivergence is a lower bound of the true divergence: 0.8 to 0.9 of it with 100 tokens and 0.65 to 0.75 with 20 on
    good candidates, less on badly damaged ones (0.7 and 0.5 at three bits), as far as was measured. Values of different
    numbers cannot be compared. Memory, time and the size of the stored samples grow with it."""
    answers: Answers | None = None
    """Compare the models on answers to these texts too: reading them, and while decoding. Without it, only texts of the
    dataset are read, by prefill kernels."""


class ResolvedFidelity(Wire):
    """Fidelity with its dataset frozen."""

    dataset: Digest
    format: DatasetFormat
    samples: int
    max_tokens: int
    top_logprobs: int
    answers: Answers | None = None


class FidelityKind(SuiteKind[Fidelity, ResolvedFidelity]):
    """Needs the engine's log probabilities of a prompt."""

    name = "fidelity"
    description = "Compare next-token distributions on held-out texts."
    spec = Fidelity
    resolved = ResolvedFidelity
    version = 2
    metrics = FIDELITY_METRICS
    needs = frozenset({"PromptLogprobs"})
    reads_fields = False
    length_field = "max_tokens"
    optional: ClassVar[Mapping[str, str]] = {metric.name: "answers" for metric in ON_ANSWERS if metric.bound}

    def resolve(self, spec: Fidelity, datasets: Mapping[str, Digest]) -> ResolvedFidelity:
        """The settings with the dataset's digest."""
        return ResolvedFidelity(
            dataset=datasets["dataset"],
            format=spec.dataset.format,
            samples=spec.samples,
            max_tokens=spec.max_tokens,
            top_logprobs=spec.top_logprobs,
            answers=spec.answers,
        )
