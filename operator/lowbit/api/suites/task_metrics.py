"""Metrics of tasks: what a model gets right, and how much less than its original.

A gate asks for a least value, or for non-inferiority: the loss against the original stays within a margin.
"""

from __future__ import annotations

from typing import Final

from lowbit.api.suites.metric import Metric


def _share(name: str, meaning: str, bound: str | None) -> Metric:
    """A share of the candidate's own, with a loss of the same name."""
    return Metric(
        name=name, title=name, meaning=meaning, better="Higher", greatest=1.0, bound=bound, perfect=True,
        loss=f"{name}Loss", unit="question",
        unreachable=f'{name} is a share above 0, and none is above 1: write "0.9" for 90 percent, say',
    )  # fmt: skip


def _loss(name: str, bound: str) -> Metric:
    """The original's share less the candidate's, paired by question.

    A candidate that leans to one class gains there and loses elsewhere, so only what counts both may be too good.
    """
    return Metric(
        name=f"{name}Loss", title=f"Loss of {name.lower() if name != 'F1' else name}",
        meaning=f"{name} of the original less that of the candidate; 0 is equal", better="Lower", least=-1.0,
        greatest=1.0, bound=bound, unit="question",
        implausible=-0.05 if name in ("Accuracy", "F1") else None,
    )  # fmt: skip


ACCURACY = _share("Accuracy", "share of answers that are right", "Proportion")
RECALL = _share("Recall", "share of a class's questions that are answered with it", "Proportion")
SPECIFICITY = _share("Specificity", "share of the other questions that are not answered with a class", "Proportion")
PRECISION = _share("Precision", "share of the answers of a class that are right", None)
F1 = _share("F1", "harmonic mean of a class's precision and recall", None)

ACCURACY_LOSS = _loss("Accuracy", "Paired")
RECALL_LOSS = _loss("Recall", "Paired")
SPECIFICITY_LOSS = _loss("Specificity", "Paired")
PRECISION_LOSS = _loss("Precision", "ClassPrecision")
F1_LOSS = _loss("F1", "ClassF1")

PARSED_SHARE = Metric(
    name="ParsedShare", title="Readable answers",
    meaning="share of answers that the scorer could read; the others count as wrong", better="Higher", greatest=1.0,
    bound=None, perfect=True, unit="question",
)  # fmt: skip
"""Reported only."""

TASK_METRICS: Final = (
    ACCURACY, RECALL, SPECIFICITY, PRECISION, F1,
    ACCURACY_LOSS, RECALL_LOSS, SPECIFICITY_LOSS, PRECISION_LOSS, F1_LOSS,
)  # fmt: skip
