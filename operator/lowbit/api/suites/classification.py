"""Classification: which of several classes a model gives, judged class by class against the original."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from lowbit.api.base import Digest, Wire
from lowbit.api.calibration import DatasetFormat
from lowbit.api.rule import Rule
from lowbit.api.suites.base import SuiteKind
from lowbit.api.suites.dataset import EvaluationDataset
from lowbit.api.suites.task_metrics import PARSED_SHARE, TASK_METRICS

ClassLabel = Annotated[str, StringConstraints(min_length=1, max_length=63)]
Answer = Literal["Choice", "Logprobs", "Field"]


class Classification(Wire):
    """Both models put the same questions into classes. Losses are paired by question, and a gate may judge each class
    on its own (perClass): a model that leans to one class gains there and loses in the others, which no average
    shows."""

    dataset: EvaluationDataset
    """Questions, one per line: a chat (`messages`) or a plain text (`text`), with the right class in another field.
    They must not be among the calibration texts."""
    labels: list[ClassLabel] = Field(min_length=2, max_length=100)
    """The classes, as the model writes them. Upper and lower case are the same."""
    answer: Answer = "Choice"
    """How the model answers. Choice: the engine lets it write nothing but a label. Logprobs: the label that it finds
    the likeliest. Field: it writes JSON as it does in production, and `field` of it is the label; answers that cannot
    be read are counted, and are wrong."""
    field: str | None = Field(default=None, min_length=1, max_length=63)
    """With Field: the field of the JSON object that holds the label, such as is_fraud. true and false are labels."""
    expected_field: str = Field(default="expected", min_length=1, max_length=63)
    """Field of a line with the right class."""
    samples: int = Field(default=1000, ge=2, le=100_000)
    """How many questions are asked: drawn by chance, the same each time (fewer where the dataset has fewer). Equal ones
    count once."""
    output_tokens: int = Field(default=64, ge=1, le=32_768)
    """Longest answer in tokens."""


class ResolvedClassification(Wire):
    """Classification with its dataset frozen."""

    dataset: Digest
    format: DatasetFormat
    labels: list[str]
    answer: Answer
    field: str | None = None
    expected_field: str
    samples: int
    output_tokens: int


class ClassificationKind(SuiteKind[Classification, ResolvedClassification]):
    """Needs an engine that can hold an answer to a label, or tell how likely each one is."""

    name = "classification"
    description = "Put questions into classes, and judge each class."
    spec = Classification
    resolved = ResolvedClassification
    version = 1
    metrics = (*TASK_METRICS, PARSED_SHARE)
    needs = frozenset({"StructuredOutputs", "PromptLogprobs"})
    length_field = "output_tokens"
    looks = 3
    rules = (
        Rule(
            "(has(self.answer) && self.answer == 'Field') == has(self.field)",
            "answer: Field and field belong together: write both, such as answer: Field and field: is_fraud, or none",
            lambda suite: (suite.answer == "Field") == (suite.field is not None), "field",
        ),
    )  # fmt: skip

    def resolve(self, spec: Classification, datasets: Mapping[str, Digest]) -> ResolvedClassification:
        """The settings with the dataset's digest."""
        same = {name: getattr(spec, name) for name in ResolvedClassification.model_fields if name != "format"}
        return ResolvedClassification(**same | {"dataset": datasets["dataset"], "format": spec.dataset.format})
