"""Which class the questions of a dataset are of, and how many there are of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lowbit.api.suites.classification import ResolvedClassification
from lowbit.worker.data.datasets import bad_line
from lowbit.worker.data.questions import DrawnQuestions, Question, QuestionSet, draw_questions
from lowbit.worker.refuse import RefusalError


def draw_classes(settings: ResolvedClassification, suite: str, path: Path) -> DrawnQuestions:
    """Questions whose classes are known, with some of each class. Raises RefusalError."""
    source = QuestionSet(
        f"the dataset of suite {suite}", path, settings.format, settings.dataset, settings.expected_field
    )
    drawn = draw_questions(source, settings.samples)
    check_labels(settings, drawn.questions, source)
    return drawn


def label_of(value: Any, labels: Sequence[str]) -> str | None:
    """The label that a value is, whatever its case and the white space around it; None if it is none of them."""
    text = value if isinstance(value, str) else json.dumps(value)
    return next((label for label in labels if plain(label) == plain(text)), None)


def plain(label: str) -> str:
    """A label without what does not count: upper and lower case, and white space around it."""
    return label.strip().lower()


def check_labels(settings: ResolvedClassification, questions: Sequence[Question], source: QuestionSet) -> None:
    """Raises RefusalError for the first line without a known class, and for a class that no line is of."""
    if len({plain(label) for label in settings.labels}) < len(settings.labels):
        raise RefusalError(
            "NoSuchClass", f"two labels of {source.what} are the same but for case and white space",
            "write each class once in labels",
        )  # fmt: skip
    seen = set()
    for question in sorted(questions, key=lambda one: one.line):
        label = None if question.expected is None else label_of(question.expected, settings.labels)
        if label is None:
            where, known = f"field {source.expected_field}", ", ".join(settings.labels[:8])
            none = question.expected is None
            problem = f"has no class ({where})" if none else f"is of a class that is not in labels ({where})"
            more = ", or name the field that has it as expectedField" if none else ", or add it to labels"
            raise bad_line(source.what, question.line, problem, f"write one of {known}{more}")
        seen.add(label)
    missing = [label for label in settings.labels if label not in seen]
    if missing:
        raise RefusalError(
            "NoSuchClass", f"{source.what} has no question of class {missing[0]}",
            "add questions of every class, raise samples, or take the class out of labels",
        )  # fmt: skip
