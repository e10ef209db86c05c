"""Rows of suites that ask questions: shares of one model, and losses that are paired by the independent unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lowbit.api.status import Measurement, PairedCounts, SliceKind
from lowbit.api.suites.metric import Metric
from lowbit.worker.engines.base import Reply
from lowbit.worker.suites import scoring
from lowbit.worker.suites.answers import Answered
from lowbit.worker.suites.measurement import measurement


@dataclass(frozen=True)
class Part:
    """Some of the questions, by the original's answers to them."""

    name: str | None
    kind: SliceKind | None
    asked: list[Answered]


def units(asked: Sequence[Answered]) -> list[str]:
    """The independent unit that each question belongs to: its group, or the question itself."""
    return [(one.question.group and f"group {one.question.group}") or one.question.id for one in asked]


@dataclass(frozen=True)
class Rows:
    """Makes rows on some of the questions."""

    suite: str
    part: Part
    units: Sequence[str]
    """Of each question."""

    def share(self, metric: Metric, values: Sequence[float]) -> Measurement:
        """A share of one model: successes where every question is a unit that is right or wrong, else a mean."""
        if self.plain(values):
            successes = int(sum(values))
            return self.sliced(
                Measurement(suite=self.suite, metric=metric.name, count=len(values), successes=successes)
            )
        return self.mean(metric, values)

    def loss(self, metric: Metric, original: Sequence[float], candidate: Sequence[float]) -> Measurement:
        """The original's share less the candidate's: paired counts, or a mean of differences."""
        if not (self.plain(original) and self.plain(candidate)):
            return self.mean(metric, [a - b for a, b in zip(original, candidate, strict=True)])
        cells = [(a == 1, b == 1) for a, b in zip(original, candidate, strict=True)]
        pairs = PairedCounts(
            both=cells.count((True, True)), original_only=cells.count((True, False)),
            candidate_only=cells.count((False, True)), neither=cells.count((False, False)),
        )  # fmt: skip
        return self.sliced(Measurement(suite=self.suite, metric=metric.name, count=len(cells), pairs=pairs))

    def plain(self, values: Sequence[float]) -> bool:
        """Whether every question is a unit of its own, and right or wrong."""
        return len(set(self.units)) == len(self.units) and all(value in (0.0, 1.0) for value in values)

    def mean(self, metric: Metric, values: Sequence[float]) -> Measurement:
        """A mean over units of the means over their questions."""
        by_unit: dict[str, list[float]] = {}
        for unit, value in zip(self.units, values, strict=True):
            by_unit.setdefault(unit, []).append(value)
        means = np.array([np.mean(each) for each in by_unit.values()])
        return self.sliced(measurement(self.suite, metric, scoring.mean(means)))

    def sliced(self, row: Measurement) -> Measurement:
        """The row as one of its part of the questions."""
        return row.model_copy(update={"slice": self.part.name, "slice_kind": self.part.kind})


def told(reply: Reply) -> str:
    """What a model said, with the tools that it called."""
    calls = [f"{call.name}({call.arguments})" for call in reply.tool_calls]
    return "\n".join(filter(None, (reply.text, *calls)))
