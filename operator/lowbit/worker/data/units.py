"""How many units a suite will ask, and how many of each class: read by prepare, before a GPU is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lowbit.api.suites.classification import ResolvedClassification
from lowbit.api.suites.generation import ResolvedGeneration
from lowbit.worker.data.classes import draw_classes, label_of
from lowbit.worker.data.questions import (
    DrawnQuestions,
    Question,
    draw_questions,
    enough_questions,
    source_of,
)


@dataclass(frozen=True)
class Units:
    """Independent units that a suite will ask."""

    count: int
    classes: Mapping[str, int] = field(default_factory=dict)
    """Of each class, where the suite knows classes."""
    left: bool = False
    """Whether the dataset has more questions than are drawn."""


def of_classification(settings: ResolvedClassification, suite: str, path: Path) -> Units:
    """Those of each class. Raises RefusalError for a line without a known class, and for a class without a line."""
    drawn = draw_classes(settings, suite, path)
    by_class: dict[str, list[Question]] = {label: [] for label in settings.labels}
    for question in drawn.questions:
        by_class[label_of(question.expected, settings.labels) or ""].append(question)
    classes = {label: independent(questions) for label, questions in by_class.items()}
    return Units(independent(drawn.questions), classes, is_left(drawn))


def of_generation(settings: ResolvedGeneration, suite: str, path: Path) -> Units:
    """Questions. The scorer checks what they expect in the evaluation: prepare's image lacks its libraries."""
    drawn = draw_questions(source_of(settings, suite, path), settings.samples)
    return Units(independent(enough_questions(drawn.questions, suite)), left=is_left(drawn))


def independent(questions: Sequence[Question]) -> int:
    """How many units they are: questions of one group are one."""
    return len({(bool(one.group), one.group or one.id) for one in questions})


def is_left(drawn: DrawnQuestions) -> bool:
    """Whether the dataset has more questions than were drawn."""
    return len(drawn.questions) < drawn.lines - drawn.duplicates


UNITS: Final[Mapping[str, Callable[[Any, str, Path], Units]]] = {
    "classification": of_classification,
    "generation": of_generation,
}
"""By the suite's kind, for those that ask questions: from its frozen settings, its name and its dataset. Raise
RefusalError. Of the other suites each different text is a unit."""
