"""Generation: what a model answers, scored against what is expected, paired with what the original answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from lowbit.api.base import Digest, Wire
from lowbit.api.calibration import DatasetFormat
from lowbit.api.rule import Rule
from lowbit.api.suites.base import SuiteKind
from lowbit.api.suites.dataset import EvaluationDataset
from lowbit.api.suites.health_metrics import HEALTH_METRICS
from lowbit.api.suites.sampling import SuiteSampling
from lowbit.api.suites.task_metrics import ACCURACY, ACCURACY_LOSS, PARSED_SHARE

Scorer = Literal["Exact", "Numeric", "MultipleChoice", "Pattern", "JSONSchema", "ToolCall", "Refusal"]


class Generation(Wire):
    """Both models answer the same questions as a client of serving would ask them, and each answer is right or wrong.
    Losses are paired by question."""

    dataset: EvaluationDataset
    """Questions, one per line: a chat (`messages`, perhaps with `tools`) or a plain text (`text`), with the right
    answer in another field. They must not be among the calibration texts."""
    scorer: Scorer
    """What makes an answer right. Exact: it is the expected text, but for case, space and punctuation around it.
    Numeric: its last number. MultipleChoice: the letter that it chooses. Pattern: `pattern` finds what is expected in
    it, or without `pattern` what is expected is a regular expression that it contains. JSONSchema: it is JSON that the
    expected schema allows. ToolCall: the expected calls, by name and arguments. Refusal: it refuses, where true is
    expected."""
    pattern: str | None = Field(default=None, min_length=1, max_length=1000)
    """With Pattern: a regular expression whose first group (or all of it) is what is compared; the last match
    counts."""
    json_schema: str | None = Field(default=None, min_length=2, max_length=10_000)
    """With JSONSchema: the schema, as JSON, of every line that has none."""
    constrained: bool = False
    """Let the engine allow only what the scorer can read (structured outputs): for MultipleChoice, JSONSchema, and
    Pattern with `pattern`. For a model that is served so."""
    expected_field: str = Field(default="expected", min_length=1, max_length=63)
    """Field of a line with the right answer."""
    category_field: str = Field(default="category", min_length=1, max_length=63)
    """Field of a line with the kind of question; results are shown by it."""
    samples: int = Field(default=1000, ge=2, le=100_000)
    """How many questions are asked: drawn by chance, the same each time (fewer where the dataset has fewer). Equal ones
    count once."""
    output_tokens: int = Field(default=256, ge=1, le=32_768)
    """Longest answer in tokens; longer ones are cut off."""
    sampling: SuiteSampling | None = None
    """How answers are drawn, as serving does; {} for what a client gets that asks for nothing. By default greedily."""
    repeats: int = Field(default=1, ge=1, le=64)
    """How often each question is asked, with `sampling`. The unit is still the question."""


class ResolvedGeneration(Wire):
    """Generation with its dataset frozen."""

    dataset: Digest
    format: DatasetFormat
    scorer: Scorer
    pattern: str | None = None
    json_schema: str | None = None
    constrained: bool
    expected_field: str
    category_field: str
    samples: int
    output_tokens: int
    sampling: SuiteSampling | None = None
    repeats: int


READABLE = ("MultipleChoice", "JSONSchema", "Pattern")
"""Scorers that can say beforehand what they can read."""


class GenerationKind(SuiteKind[Generation, ResolvedGeneration]):
    """Needs an engine that can hold an answer to a form, if a suite asks for that."""

    name = "generation"
    description = "Ask questions, and score the answers."
    spec = Generation
    resolved = ResolvedGeneration
    version = 1
    metrics = (ACCURACY, ACCURACY_LOSS, PARSED_SHARE, *HEALTH_METRICS)
    needs = frozenset({"StructuredOutputs"})
    length_field = "output_tokens"
    looks = 3
    rules = (
        Rule(
            "!has(self.repeats) || self.repeats == 1 || has(self.sampling)",
            "greedy answers are the same each time: write sampling: {} to draw them as serving does, or leave repeats "
            "out",
            lambda suite: suite.repeats == 1 or suite.sampling is not None, "repeats",
        ),
        Rule(
            "!has(self.pattern) || self.scorer == 'Pattern'",
            "only scorer: Pattern has a pattern: write that, or leave pattern out",
            lambda suite: suite.pattern is None or suite.scorer == "Pattern", "pattern",
        ),
        Rule(
            "!has(self.jsonSchema) || self.scorer == 'JSONSchema'",
            "only scorer: JSONSchema has a jsonSchema: write that, or leave jsonSchema out",
            lambda suite: suite.json_schema is None or suite.scorer == "JSONSchema", "jsonSchema",
        ),
        Rule(
            "!has(self.constrained) || !self.constrained || self.scorer in ['MultipleChoice', 'JSONSchema'] || "
            "(self.scorer == 'Pattern' && has(self.pattern))",
            "an answer can be held to a form only for MultipleChoice, JSONSchema, and Pattern with pattern: leave "
            "constrained out",
            lambda suite: not suite.constrained
            or (suite.scorer in READABLE and (suite.scorer != "Pattern" or suite.pattern is not None)), "constrained",
        ),
    )  # fmt: skip

    def repeats(self, spec: Generation) -> int:
        """How often each question is asked."""
        return spec.repeats

    def resolve(self, spec: Generation, datasets: Mapping[str, Digest]) -> ResolvedGeneration:
        """The settings with the dataset's digest."""
        same = {
            name: getattr(spec, name) for name in ResolvedGeneration.model_fields if name in Generation.model_fields
        }
        return ResolvedGeneration(**same | {"dataset": datasets["dataset"], "format": spec.dataset.format})
