"""From tasks' samples to rows, compared samples and sections of the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lowbit.api.status import Measurement
from lowbit.api.suites.task_metrics import ACCURACY, ACCURACY_LOSS
from lowbit.gate.wording import number
from lowbit.worker.suites import scoring
from lowbit.worker.suites.base import ComparedSample, Section, Summary
from lowbit.worker.suites.harness_samples import AskedRow, HarnessSamples, TaskSamples
from lowbit.worker.suites.measurement import unmeasured
from lowbit.worker.suites.rows import Part, Rows

Pairs = list[tuple[AskedRow, AskedRow]]
"""Original and candidate; on a baseline the model and itself."""
OUTPUT_TYPES = {
    "multiple_choice": "multiple choice, by log probability",
    "loglikelihood": "log probability of the right answer",
    "generate_until": "greedy answers",
}


def summarize(suite: str, samples: HarnessSamples, original: HarnessSamples | None) -> Summary:
    """The measurements of a suite: a row of each metric for each task."""
    rows: list[Measurement] = []
    sections, compared = [], []
    for name, task in samples.tasks.items():
        pairs = pair(task, original.tasks[name] if original is not None else task)
        rows += task_rows(suite, name, task.judged, pairs, original is not None)
        sections.append(section(suite, name, task, pairs, samples.version, original is not None))
        if original is not None:
            compared += [compare(name, task.judged, *each) for each in pairs]
    return Summary(rows, sections=sections, samples=compared)


def pair(candidate: TaskSamples, original: TaskSamples) -> Pairs:
    """Question by question. Raises ValueError if the two models were not asked the same."""
    other = {row.id: row for row in candidate.asked}
    if other.keys() != {row.id for row in original.asked}:
        raise ValueError("the two models were not asked the same questions")
    return [(row, other[row.id]) for row in original.asked]


def task_rows(suite: str, task: str, judged: str, pairs: Pairs, compared: bool) -> Iterator[Measurement]:
    """Accuracy of a task and, where there is an original, its loss."""
    made = Rows(suite, Part(task, "Task", []), units([row for row, _ in pairs]))
    broken = sum(not (one.finite and other.finite) for one, other in pairs)
    metrics = [ACCURACY, ACCURACY_LOSS] if compared else [ACCURACY]
    if broken:
        yield from (made.sliced(unmeasured(suite, metric, len(pairs), broken)) for metric in metrics)
        return
    before, after = ([row.values[judged] for row in rows] for rows in zip(*pairs, strict=True))
    yield made.share(ACCURACY, after)
    if compared:
        loss = made.loss(ACCURACY_LOSS, before, after)
        chances = [row.chance for row, _ in pairs if row.chance is not None]
        if loss.pairs is not None and len(chances) == len(pairs):
            loss = loss.model_copy(update={"chance": number(float(np.mean(chances)))})
        yield loss


def units(rows: Sequence[AskedRow]) -> list[str]:
    """The independent unit that each question belongs to: its group, or the question itself."""
    return [f"group {row.group}" if row.group else row.id for row in rows]


def compare(task: str, judged: str, original: AskedRow, candidate: AskedRow) -> ComparedSample:
    """A question with both answers."""
    score = original.values[judged] - candidate.values[judged]
    return ComparedSample(
        id=f"{task}/{original.id}", prompt=original.prompt, original=original.told, candidate=candidate.told,
        expected=original.expected, slice=task, score=score, flipped=score != 0,
        note="" if candidate.finite else "not finite",
    )  # fmt: skip


def section(suite: str, name: str, task: TaskSamples, pairs: Pairs, version: str, compared: bool) -> Section:
    """Every metric of a task, and how it was asked."""
    text = (
        f"{OUTPUT_TYPES[task.output_type][:1].upper()}{OUTPUT_TYPES[task.output_type][1:]}, {task.shots} examples in a "
        f"prompt, lm-evaluation-harness {version}. {len(pairs)} questions of {task.lines} rows; {task.duplicates} rows "
        f"are equal to another one. Judged by {task.judged}."
    )
    if task.cut:
        text += f" {task.cut} prompts were cut on the left: they are longer than what the engine takes."
    keys = dict.fromkeys(key for row, _ in pairs for key in row.values)
    header = ("Metric", "Original", "Candidate", "Loss", "Standard error") if compared else ("Metric", "Value")
    return Section(f"Task {name}: {suite}", text, header=header, rows=[metric(key, pairs, compared) for key in keys])


def metric(key: str, pairs: Pairs, compared: bool) -> tuple[str, ...]:
    """A metric's means and, where there is an original, the mean of the differences with its error over units."""
    pairs = [(one, other) for one, other in pairs if key in one.values and key in other.values]
    before, after = ([row.values[key] for row in rows] for rows in zip(*pairs, strict=True))
    if not compared:
        return key, f"{np.mean(after):.4f}"
    by_unit: dict[str, list[float]] = {}
    for unit, a, b in zip(units([row for row, _ in pairs]), before, after, strict=True):
        by_unit.setdefault(unit, []).append(a - b)
    loss = scoring.mean(np.array([np.mean(each) for each in by_unit.values()]))
    return (
        key, f"{np.mean(before):.4f}", f"{np.mean(after):.4f}", f"{loss.value:.4f}", f"{loss.standard_error:.4f}"
    )  # fmt: skip
