"""From classes that two models gave to rows, samples and sections of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan

from lowbit.api.status import ClassCounts, MeanStatistics, Measurement, PairedCounts
from lowbit.api.suites.metric import Metric
from lowbit.api.suites.task_metrics import (
    ACCURACY,
    ACCURACY_LOSS,
    F1,
    F1_LOSS,
    PARSED_SHARE,
    PRECISION,
    PRECISION_LOSS,
    RECALL,
    RECALL_LOSS,
    SPECIFICITY,
    SPECIFICITY_LOSS,
)
from lowbit.gate.wording import number
from lowbit.worker.suites import answers
from lowbit.worker.suites.answers import Answered, Answers
from lowbit.worker.suites.base import ComparedSample, Section, Summary
from lowbit.worker.suites.rows import Part, Rows, told, units

UNREAD = "not readable"
"""Column of answers that are no class."""


@dataclass(frozen=True)
class Classified:
    """What one model answered, read as classes."""

    answers: Answers
    labels: list[str]
    true: Mapping[str, str]
    """The right class, by question."""
    said: Mapping[str, str | None]
    """The class that the model gave, by question; None if its answer is none."""

    def right(self, one: Answered) -> bool:
        """Whether the model gave the right class."""
        return self.said[one.question.id] == self.true[one.question.id]


@dataclass(frozen=True)
class Counts:
    """The four counts of one class and one model."""

    tn: int
    fp: int
    fn: int
    tp: int

    @property
    def precision(self) -> float:
        """Share of what was said to be of the class that is of it; NaN if nothing was."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else nan

    @property
    def recall(self) -> float:
        """Share of the class that was found."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else nan

    @property
    def specificity(self) -> float:
        """Share of the others that were left out."""
        return self.tn / (self.tn + self.fp) if self.tn + self.fp else nan

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        whole = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / whole if whole else nan


def counts(samples: Classified, label: str) -> Counts:
    """The four counts of a class."""
    cells = Counter((samples.true[key] == label, said == label) for key, said in samples.said.items())
    return Counts(tn=cells[False, False], fp=cells[False, True], fn=cells[True, False], tp=cells[True, True])


def summarize(suite: str, samples: Classified, original: Classified | None) -> Summary:
    """The measurements of a suite."""
    asked = (original or samples).answers.answered
    rows = list(whole(suite, asked, samples, original))
    for label in samples.labels:
        rows += of_class(Of(suite, label, asked), samples, original)
    sections = [confusion(suite, samples, original), per_class(suite, samples, original)]
    return Summary(rows, sections=sections, samples=compared(samples, original) if original else [])


def whole(
    suite: str, asked: Sequence[Answered], samples: Classified, original: Classified | None
) -> Iterator[Measurement]:
    """Accuracy, its loss and what could be read, over all classes."""
    made = Rows(suite, Part(None, None, list(asked)), units(asked))
    right = [float(samples.right(one)) for one in asked]
    yield made.share(ACCURACY, right)
    if original is not None:
        often = max(Counter(samples.true.values()).values()) / len(asked)
        loss = made.loss(ACCURACY_LOSS, [float(original.right(one)) for one in asked], right)
        yield loss.model_copy(update={"chance": number(often)})
    yield made.share(PARSED_SHARE, [float(samples.said[one.question.id] is not None) for one in asked])


@dataclass(frozen=True)
class Of:
    """One class of a suite."""

    suite: str
    label: str
    asked: Sequence[Answered]


def of_class(of: Of, samples: Classified, original: Classified | None) -> Iterator[Measurement]:
    """Recall on the class's questions, specificity on the others, precision and F1 on all."""
    for metric, loss, inside in ((RECALL, RECALL_LOSS, True), (SPECIFICITY, SPECIFICITY_LOSS, False)):
        about = [one for one in of.asked if (samples.true[one.question.id] == of.label) is inside]
        made = Rows(of.suite, Part(of.label, "Class", about), units(about))

        def right(side: Classified, about: list[Answered] = about, inside: bool = inside) -> list[float]:
            return [float((side.said[one.question.id] == of.label) is inside) for one in about]

        if about:
            yield made.share(metric, right(samples))
        if about and original is not None:
            yield made.loss(loss, right(original), right(samples))
    own = counts(samples, of.label)
    yield reported(of, PRECISION, own.precision, len(of.asked))
    yield reported(of, F1, own.f1, len(of.asked))
    if original is not None:
        cells = class_counts(of.label, samples, original)
        for loss in (PRECISION_LOSS, F1_LOSS):
            yield Measurement(
                suite=of.suite, metric=loss.name, slice=of.label, slice_kind="Class", count=len(of.asked), classes=cells
            )


def reported(of: Of, metric: Metric, value: float, count: int) -> Measurement:
    """A value that is shown, and has no bounds."""
    mean = MeanStatistics(value=number(value), standard_error="NaN")
    return Measurement(suite=of.suite, metric=metric.name, slice=of.label, slice_kind="Class", count=count, mean=mean)


def class_counts(label: str, samples: Classified, original: Classified) -> ClassCounts:
    """Who said of which questions that they are of a class."""

    def said(inside: bool) -> PairedCounts:
        cells = Counter(
            (original.said[key] == label, samples.said[key] == label)
            for key, true in samples.true.items()
            if (true == label) is inside
        )
        return PairedCounts(
            both=cells[True, True], original_only=cells[True, False], candidate_only=cells[False, True],
            neither=cells[False, False],
        )  # fmt: skip

    return ClassCounts(of_class=said(True), others=said(False))


def confusion(suite: str, samples: Classified, original: Classified | None) -> Section:
    """Which classes were taken for which: the original's numbers, then the candidate's."""
    sides = [samples] if original is None else [original, samples]
    cells = [Counter((side.true[key], said or UNREAD) for key, said in side.said.items()) for side in sides]
    columns = [*samples.labels, *([UNREAD] if any(said == UNREAD for cell in cells for _, said in cell) else [])]
    rows = [
        (label, *(" / ".join(str(cell[label, column]) for cell in cells) for column in columns))
        for label in samples.labels
    ]
    text = "Lines are what is true, columns are what was said."
    if original is not None:
        text += " Each cell has the original's number and the candidate's."
    return Section(f"Confusion: {suite}", text, header=("", *columns), rows=rows)


def per_class(suite: str, samples: Classified, original: Classified | None) -> Section:
    """The counts and shares of each class, for each model."""
    sides = {"candidate": samples} if original is not None else {"original": samples}
    if original is not None:
        sides = {"original": original, **sides}
    rows = []
    for label in samples.labels:
        for name, side in sides.items():
            of = counts(side, label)
            shares = (of.precision, of.recall, of.f1, of.specificity)
            rows.append(
                (f"{label}, {name}", *map(str, (of.tn, of.fp, of.fn, of.tp)), *(f"{share:.4f}" for share in shares))
            )
    header = ("", "tn", "fp", "fn", "tp", "precision", "recall", "F1", "specificity")
    text = f"{samples.answers.lines} lines of the dataset, {samples.answers.duplicates} of them equal to another."
    return Section(f"Classes: {suite}", text, header=header, rows=rows)


def compared(samples: Classified, original: Classified) -> list[ComparedSample]:
    """Every question with both answers."""
    found = []
    for before, after in answers.pair(original.answers, samples.answers):
        question = before.question
        was, now = original.said[question.id], samples.said[question.id]
        score = float(original.right(before)) - float(samples.right(after))
        found.append(
            ComparedSample(
                id=question.id, prompt=answers.shown(question.prompt),
                original=was or _words(before), candidate=now or _words(after), expected=samples.true[question.id],
                slice=samples.true[question.id], score=score, flipped=score != 0,
                note="" if now is not None else UNREAD,
            )
        )  # fmt: skip
    return found


def _words(one: Answered) -> str:
    return told(one.replies[0]) if one.replies else UNREAD
