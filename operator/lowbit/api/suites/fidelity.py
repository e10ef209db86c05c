"""Fidelity: how far the candidate's next-token distributions are from the original's, by teacher forcing."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from lowbit.api.base import Digest, Wire
from lowbit.api.calibration import DatasetFormat
from lowbit.api.suites.base import SuiteKind
from lowbit.api.suites.dataset import EvaluationDataset
from lowbit.api.suites.metric import Metric

KL_DIVERGENCE = Metric(
    name="KLDivergence",
    title="KL divergence",
    meaning="nats per token over the top logprobs, a lower bound of the true one; 0 is equal",
    explained="KL(original || candidate) of the next token over the topLogprobs likely tokens, in nats, a lower bound "
    "of the true divergence; mean over texts of the mean over their tokens",
    better="Lower",
    unreachable='no quantized model reaches a KLDivergence of 0: write the most that is good enough, such as "0.05"',
    bound="GuardedHall",
)
PERPLEXITY_RATIO = Metric(
    name="PerplexityRatio",
    title="Perplexity ratio",
    meaning="candidate / original; 1 is equal",
    explained="candidate / original, exp of the mean over texts of the difference of their mean losses",
    better="Lower",
    unreachable='no model reaches a PerplexityRatio of 0, and 1 is that of the original: write "1.05", say',
    scale="Logarithmic",
    implausible=0.8,
)
TOP1_AGREEMENT = Metric(
    name="Top1Agreement",
    title="Top-1 agreement",
    meaning="share of tokens where both rank the same token first",
    explained="share of tokens where both models rank the same token first; mean over texts of the shares in each",
    better="Higher",
    unreachable='Top1Agreement is a share above 0, and none is above 1: write "0.95" for 95 percent, say',
    greatest=1.0,
    bound="GuardedHall",
    perfect=True,
)
PERPLEXITY = Metric(
    name="Perplexity",
    title="Perplexity",
    meaning="exp of the mean loss",
    better="Lower",
    scale="Logarithmic",
    bound=None,
)
COVERED_MASS = Metric(
    name="CoveredMass",
    title="Covered mass",
    meaning="probability mass of the original that was compared token by token; the rest is in the remainder bucket",
    better="Higher",
    greatest=1.0,
    bound=None,
)


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


class ResolvedFidelity(Wire):
    """Fidelity with its dataset frozen."""

    dataset: Digest
    format: DatasetFormat
    samples: int
    max_tokens: int
    top_logprobs: int


class FidelityKind(SuiteKind[Fidelity, ResolvedFidelity]):
    """Needs the engine's log probabilities of a prompt."""

    name = "fidelity"
    description = "Compare next-token distributions on held-out texts."
    spec = Fidelity
    resolved = ResolvedFidelity
    version = 2
    metrics = (KL_DIVERGENCE, TOP1_AGREEMENT, PERPLEXITY_RATIO, PERPLEXITY, COVERED_MASS)
    needs = frozenset({"PromptLogprobs"})
    length_field = "max_tokens"

    def resolve(self, spec: Fidelity, datasets: Mapping[str, Digest]) -> ResolvedFidelity:
        """The settings with the dataset's digest."""
        return ResolvedFidelity(
            dataset=datasets["dataset"],
            format=spec.dataset.format,
            samples=spec.samples,
            max_tokens=spec.max_tokens,
            top_logprobs=spec.top_logprobs,
        )
