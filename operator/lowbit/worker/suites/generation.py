"""Generation: both models answer the same questions as a client of serving asks them, and each answer is scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy.typing as npt

from lowbit.api.suites.generation import ResolvedGeneration
from lowbit.api.suites.sampling import SuiteSampling
from lowbit.worker.data.datasets import bad_line
from lowbit.worker.engines.base import Sampling
from lowbit.worker.refuse import RefusalError
from lowbit.worker.suites import answers, generation_rows
from lowbit.worker.suites.answers import Answered, Answers, Asker, ask_all
from lowbit.worker.suites.base import Arrays, Ask, SeparateRunner, Summary
from lowbit.worker.suites.generation_rows import ScoredAnswers
from lowbit.worker.suites.questions import DrawnQuestions, Question, QuestionSet, draw_questions, enough_questions
from lowbit.worker.suites.scorers import SCORERS, ExpectedError, Scorer
from lowbit.worker.together import together


class GenerationRunner(SeparateRunner[ResolvedGeneration, ScoredAnswers]):
    """Both models are asked the same questions; the answers are stored, and scored when they are compared."""

    method = (
        "Both models answer the same questions over the API that clients use, each in the engine that serves it, and "
        "a scorer says whether an answer is right. An answer that the scorer cannot read is wrong, and the share of "
        "those that it can read is reported. The loss is paired question by question: the original's share less the "
        "candidate's. Where answers are drawn by chance, each question counts once, with the mean of its answers. "
        "Slices by length go by the original's answer, so that both models are compared on the same questions."
    )

    async def measure(self, ask: Ask[ResolvedGeneration], original: ScoredAnswers | None) -> ScoredAnswers:
        """Ask all questions, many at once: those that the original was asked."""
        settings, what = ask.settings, f"the dataset of suite {ask.suite}"
        scorer = scorer_of(settings, ask.suite)
        if original is None:
            source = QuestionSet(
                what, ask.dataset(settings.dataset), settings.format, settings.dataset, settings.expected_field,
                settings.category_field,
            )  # fmt: skip
            drawn = draw_questions(source, settings.samples)
            check_expected(scorer, drawn.questions, source)
            drawn = replace(drawn, questions=enough_questions(drawn.questions, ask.suite))
        else:
            asked = [one.question for one in original.answers.answered]
            drawn = DrawnQuestions(asked, original.answers.lines, original.answers.duplicates)
        room = None if ask.room is None else ask.room + 1 - settings.output_tokens
        asker = Asker(ask.client, what, room, ask.progress)

        async def one(question: Question, tokens: list[int]) -> Answered:
            constraint = scorer.constraint(question.expected) if settings.constrained else None
            drawn_by = [sampling_of(settings, question, repeat) for repeat in range(settings.repeats)]
            replies = await together(ask.client.answer(question.prompt, each, constraint) for each in drawn_by)
            return Answered(question, tokens, tuple(replies))

        found = await ask_all(drawn.questions, one, asker)
        return ScoredAnswers(Answers(found, drawn.lines, drawn.duplicates), scorer)

    def summarize(self, suite: str, samples: ScoredAnswers, original: ScoredAnswers | None) -> Summary:
        """The measurements, whole and by category and length; on a baseline only those that need no comparison."""
        return generation_rows.summarize(suite, samples, original)

    def pack(self, samples: ScoredAnswers) -> Arrays:
        """The answers; scores are computed from them."""
        return answers.pack(samples.answers)

    def unpack(self, arrays: Mapping[str, npt.NDArray[Any]], settings: ResolvedGeneration) -> ScoredAnswers:
        """The inverse of pack."""
        return ScoredAnswers(answers.unpack(arrays), scorer_of(settings, "generation"))

    def texts(self, samples: ScoredAnswers) -> list[list[int]]:
        """Token ids of the questions."""
        return answers.texts(samples.answers)


def scorer_of(settings: ResolvedGeneration, suite: str) -> Scorer:
    """The suite's scorer. Raises RefusalError if its settings cannot be used."""
    try:
        return SCORERS[settings.scorer](settings)
    except ExpectedError as error:
        raise RefusalError("BadScorer", f"suite {suite}: {error.problem}", error.action) from error


def check_expected(scorer: Scorer, questions: list[Question], source: QuestionSet) -> None:
    """Raises RefusalError for the first line whose expected answer the scorer cannot use."""
    for question in sorted(questions, key=lambda one: one.line):
        try:
            scorer.check(question.expected)
        except ExpectedError as error:
            where = f"field {source.expected_field}"
            nothing = question.expected is None
            problem = f"has no expected answer ({where})" if nothing else f"{error.problem} ({where})"
            more = ", or name the field that has it as expectedField" if nothing else ""
            raise bad_line(source.what, question.line, problem, error.action + more) from error


def sampling_of(settings: ResolvedGeneration, question: Question, repeat: int) -> Sampling:
    """How an answer is drawn: greedily, or by chance with a seed that both models get."""
    if settings.sampling is None:
        return Sampling(settings.output_tokens)
    return drawn_as(settings.sampling, settings.output_tokens, (int(question.id, 16) + repeat) % 2**31)


def drawn_as(sampling: SuiteSampling, output_tokens: int, seed: int) -> Sampling:
    """A suite's sampling, as a client of serving sends it."""
    numbers = (sampling.temperature, sampling.top_p, sampling.repetition_penalty)
    temperature, top_p, penalty = (None if number is None else float(Decimal(number)) for number in numbers)
    return Sampling(output_tokens, temperature, top_p, sampling.top_k, penalty, seed)
