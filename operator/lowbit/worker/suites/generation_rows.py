"""From answers and their scores to rows, samples and a section of the report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from lowbit.api.status import Measurement
from lowbit.api.suites.task_metrics import ACCURACY, ACCURACY_LOSS, PARSED_SHARE
from lowbit.worker.engines.base import Reply
from lowbit.worker.suites import answers, health
from lowbit.worker.suites.answers import Answered, Answers
from lowbit.worker.suites.base import ComparedSample, Section, Summary
from lowbit.worker.suites.rows import Part, Rows, told, units
from lowbit.worker.suites.scorers import Scored, Scorer

MOST_CATEGORIES = 100
"""Slices of one suite. More is no field of categories, and would not fit into a result."""
LENGTHS: Final = (32, 128, 512)
"""Ends of the slices by length, in tokens."""


@dataclass(frozen=True)
class ScoredAnswers:
    """What one model answered, and what scores it."""

    answers: Answers
    scorer: Scorer

    @cached_property
    def scores(self) -> dict[str, list[Scored]]:
        """By question: one score for each answer."""
        return {
            one.question.id: [self.scorer.score(reply, one.question.expected) for reply in one.replies]
            for one in self.answers.answered
        }

    @property
    def replies(self) -> dict[str, Sequence[Reply]]:
        """By question."""
        return {one.question.id: one.replies for one in self.answers.answered}

    def right(self, one: Answered) -> float:
        """Share of the right answers to a question."""
        return float(np.mean([score.right for score in self.scores[one.question.id]]))

    def parsed(self, one: Answered) -> float:
        """Share of the answers to a question that could be read."""
        return float(np.mean([score.parsed for score in self.scores[one.question.id]]))


def summarize(suite: str, samples: ScoredAnswers, original: ScoredAnswers | None) -> Summary:
    """The measurements of a suite."""
    rows: list[Measurement] = []
    for part in parts((original or samples).answers.answered):
        rows += accuracy(suite, part, samples, original)
    rows += health.rows(suite, samples.replies, original.replies if original else None)
    sections = [
        answers_section(suite, samples, original),
        health.section(f"Soundness of the answers: {suite}", samples.replies, original.replies if original else None),
    ]
    return Summary(rows, sections=sections, samples=compared(samples, original) if original else [])


def parts(asked: list[Answered]) -> Iterator[Part]:
    """All questions, then those of each category, then those of each length of answer."""
    yield Part(None, None, asked)
    categories = group(asked, [one.question.category for one in asked])
    if len(categories) > 1 and len(categories) <= MOST_CATEGORIES:
        yield from (Part(name or "none", "Category", some) for name, some in sorted(categories.items()))
    lengths = group(asked, [length_of(one) for one in asked])
    if len(lengths) > 1:
        yield from (Part(name, "Length", lengths[name]) for name in LENGTH_NAMES if name in lengths)


def group(asked: Sequence[Answered], names: Sequence[str]) -> dict[str, list[Answered]]:
    """The questions by a name."""
    found: dict[str, list[Answered]] = {}
    for one, name in zip(asked, names, strict=True):
        found.setdefault(name, []).append(one)
    return found


LENGTH_NAMES: Final = (
    f"up to {LENGTHS[0]} tokens", *(f"up to {end} tokens" for end in LENGTHS[1:]), f"above {LENGTHS[-1]} tokens",
)  # fmt: skip


def length_of(one: Answered) -> str:
    """The slice of an answer's length."""
    mean = health.tokens(one.replies)
    return next((name for name, end in zip(LENGTH_NAMES, LENGTHS, strict=False) if mean <= end), LENGTH_NAMES[-1])


def accuracy(suite: str, part: Part, samples: ScoredAnswers, original: ScoredAnswers | None) -> list[Measurement]:
    """Accuracy and its loss on some of the questions; on all of them what could be read as well."""
    made = Rows(suite, part, units(part.asked))
    right = [samples.right(one) for one in part.asked]
    rows = [made.share(ACCURACY, right)]
    if original is not None:
        rows.append(made.loss(ACCURACY_LOSS, [original.right(one) for one in part.asked], right))
    if part.name is None:
        rows.append(made.share(PARSED_SHARE, [samples.parsed(one) for one in part.asked]))
    return rows


def compared(samples: ScoredAnswers, original: ScoredAnswers) -> list[ComparedSample]:
    """Every question with both answers; of several, the first."""
    found = []
    for before, after in answers.pair(original.answers, samples.answers):
        question = before.question
        score = original.right(before) - samples.right(after)
        found.append(
            ComparedSample(
                id=question.id, prompt=answers.shown(question.prompt), original=told(before.replies[0]),
                candidate=told(after.replies[0]), expected=expected(question.expected), slice=question.category,
                score=score, flipped=score != 0, note=note(samples.scores[question.id], after.replies),
            )
        )  # fmt: skip
    return found


def expected(value: object) -> str:
    """What is right, for people."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def note(scores: Sequence[Scored], replies: Sequence[Reply]) -> str:
    """What is wrong with the candidate's answers beside their being wrong."""
    words = [] if all(score.parsed for score in scores) else ["not readable"]
    words += [word for reply in replies for word in health.signs(reply).words]
    return ", ".join(dict.fromkeys(words))


def answers_section(suite: str, samples: ScoredAnswers, original: ScoredAnswers | None) -> Section:
    """How many questions there were, and which answers changed."""
    asked = samples.answers
    scores = [score for each in samples.scores.values() for score in each]
    rows = [
        ("Lines of the dataset", str(asked.lines)),
        ("Ask the same as another", str(asked.duplicates)),
        ("Asked: questions", str(len(asked.answered))),
        ("Answers", str(len(scores))),
        ("Not readable, and so wrong", str(sum(not score.parsed for score in scores))),
    ]
    if original is not None:
        both = answers.pair(original.answers, asked)
        pairs = [(original.right(a), samples.right(b)) for a, b in both]
        rows += [
            ("Read as other tokens by the two models (a template that writes the date, say)",
             str(sum(a.tokens != b.tokens for a, b in both))),
            ("Right in the original more often", str(sum(a > b for a, b in pairs))),
            ("Right in the candidate more often", str(sum(a < b for a, b in pairs))),
        ]  # fmt: skip
    categories = {one.question.category for one in asked.answered}
    text = "Questions are drawn by a seeded shuffle; equal ones count once."
    if len(categories) > MOST_CATEGORIES:
        text += f" There are {len(categories)} categories, more than the {MOST_CATEGORIES} that are shown one by one."
    return Section(f"Answers: {suite}", text, header=("", "Count"), rows=rows)
