"""Perplexity: how well a model predicts running text, alone and against the original."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from lowbit.api.base import Digest, Wire
from lowbit.api.calibration import DatasetFormat
from lowbit.api.suites.base import SuiteKind
from lowbit.api.suites.dataset import EvaluationDataset
from lowbit.api.suites.fidelity_metrics import PERPLEXITY, PERPLEXITY_RATIO


class Perplexity(Wire):
    """Running text is cut into chunks, and the second half of each is scored, as in llama-perplexity. A model's own
    perplexity is over all scored tokens; the ratio to the original is paired by article."""

    dataset: EvaluationDataset
    """Articles, one a line. Lines with the same value of a field `group` are one article."""
    samples: int = Field(default=256, ge=2, le=100_000)
    """How many articles are read: drawn by chance, the same each time (fewer where the dataset has fewer). Articles of
    fewer than 34 tokens do not count. A gate needs 149 with one candidate, 183 with two, 203 with three (at confidence
    0.95)."""
    max_tokens: int = Field(default=512, ge=34, le=32_768)
    """Length of a chunk in tokens: an article's last one may be shorter. Perplexities at different lengths cannot be
    compared."""
    chunks: int = Field(default=8, ge=1, le=10_000)
    """Most chunks of an article that are read: its first ones."""


class ResolvedPerplexity(Wire):
    """Perplexity with its dataset frozen."""

    dataset: Digest
    format: DatasetFormat
    samples: int
    max_tokens: int
    chunks: int


class PerplexityKind(SuiteKind[Perplexity, ResolvedPerplexity]):
    """Needs the engine's log probabilities of a prompt."""

    name = "perplexity"
    description = "Perplexity on running text, with its error, and its ratio to the original's."
    spec = Perplexity
    resolved = ResolvedPerplexity
    version = 1
    metrics = (PERPLEXITY_RATIO, PERPLEXITY)
    needs = frozenset({"PromptLogprobs"})
    reads_fields = False
    length_field = "max_tokens"

    def resolve(self, spec: Perplexity, datasets: Mapping[str, Digest]) -> ResolvedPerplexity:
        """The settings with the dataset's digest."""
        return ResolvedPerplexity(
            dataset=datasets["dataset"],
            format=spec.dataset.format,
            samples=spec.samples,
            max_tokens=spec.max_tokens,
            chunks=spec.chunks,
        )
