"""Classification: both models put the same questions into classes."""

from __future__ import annotations

import json
from dataclasses import replace
from math import isfinite
from typing import Any

from lowbit.api.suites.classification import ResolvedClassification
from lowbit.worker.data.classes import draw_classes, label_of
from lowbit.worker.data.questions import DrawnQuestions, Question, enough_questions
from lowbit.worker.engines.base import Constraint, EngineClient, Sampling
from lowbit.worker.suites import classification_rows
from lowbit.worker.suites.answers import Answered, Answers
from lowbit.worker.suites.asking import AskingRunner, first_answers
from lowbit.worker.suites.base import Ask, Summary
from lowbit.worker.suites.classification_rows import Classified


class ClassificationRunner(AskingRunner[ResolvedClassification, Classified]):
    """Both models are asked the same questions; what they answered is read as a class when they are compared."""

    method = (
        "Both models put the same questions into classes, each in the engine that serves it. A class is judged on its "
        "own: recall on the questions that are of it, specificity on all others, both paired question by question; "
        "precision and F1 by the influence of each question on them. An answer that is no class is wrong, and counts "
        "for no class. The chance that an accuracy is held against is that of always answering with the class that "
        "comes most often."
    )

    def draw(self, ask: Ask[ResolvedClassification]) -> DrawnQuestions:
        """Questions whose classes are known, with some of each class."""
        drawn = draw_classes(ask.settings, ask.suite, ask.dataset(ask.settings.dataset))
        return replace(drawn, questions=enough_questions(drawn.questions, ask.suite))

    def output_tokens(self, settings: ResolvedClassification) -> int:
        """As the suite says."""
        return settings.output_tokens

    async def ask_one(
        self, client: EngineClient, settings: ResolvedClassification, question: Question, tokens: list[int]
    ) -> Answered:
        """An answer, or how likely each label is."""
        if settings.answer == "Logprobs":
            likely = await client.choose(question.prompt, settings.labels)
            return Answered(question, tokens, logprobs=tuple(likely))
        constraint = Constraint(choices=tuple(settings.labels)) if settings.answer == "Choice" else None
        reply = await client.answer(question.prompt, Sampling(settings.output_tokens), constraint)
        return Answered(question, tokens, (reply,))

    def read(self, given: Answers, settings: ResolvedClassification) -> Classified:
        """The answers as classes."""
        return classified(given, settings)

    def given(self, samples: Classified) -> Answers:
        """The answers themselves."""
        return samples.answers

    def first(self, samples: Classified, count: int) -> Classified:
        """Those to the first questions."""
        kept = first_answers(samples.answers, count)
        ids = {one.question.id for one in kept.answered}
        true = {key: label for key, label in samples.true.items() if key in ids}
        return Classified(kept, samples.labels, true, {key: samples.said[key] for key in true})

    def compare(self, suite: str, samples: Classified, original: Classified | None) -> Summary:
        """The measurements, whole and class by class; on a baseline only those that need no comparison."""
        return classification_rows.summarize(suite, samples, original)


def classified(given: Answers, settings: ResolvedClassification) -> Classified:
    """The answers, read as classes."""
    said = {one.question.id: said_class(one, settings) for one in given.answered}
    true = {one.question.id: label_of(one.question.expected, settings.labels) or "" for one in given.answered}
    return Classified(given, list(settings.labels), true, said)


def said_class(one: Answered, settings: ResolvedClassification) -> str | None:
    """The class that a model gave; None if its answer is none."""
    if settings.answer == "Logprobs":
        if not one.logprobs or not all(isfinite(each) for each in one.logprobs):
            return None
        return settings.labels[max(range(len(one.logprobs)), key=lambda index: one.logprobs[index])]
    text = one.replies[0].text if one.replies else ""
    if settings.answer == "Choice":
        return label_of(text, settings.labels)
    found = field_of(text, settings.field or "")
    return None if found is None else label_of(found, settings.labels)


def field_of(text: str, name: str) -> Any:
    """A field of the first JSON object in a text; None if there is none."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            value, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and name in value:
            return value[name]
        start = text.find("{", start + 1)
    return None
