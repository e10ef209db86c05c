"""Generation: both models answer the same questions as a client of serving asks them, and each answer is scored."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from lowbit.api.suites.generation import ResolvedGeneration
from lowbit.api.suites.sampling import SuiteSampling
from lowbit.worker.data.datasets import bad_line
from lowbit.worker.data.questions import (
    DrawnQuestions,
    Question,
    QuestionSet,
    draw_questions,
    enough_questions,
    source_of,
)
from lowbit.worker.engines.base import EngineClient, Sampling
from lowbit.worker.refuse import RefusalError
from lowbit.worker.suites import generation_rows
from lowbit.worker.suites.answers import Answered, Answers
from lowbit.worker.suites.asking import AskingRunner, first_answers
from lowbit.worker.suites.base import Ask, Summary
from lowbit.worker.suites.generation_rows import ScoredAnswers
from lowbit.worker.suites.scorers import SCORERS, ExpectedError, Scorer
from lowbit.worker.together import together


class GenerationRunner(AskingRunner[ResolvedGeneration, ScoredAnswers]):
    """Both models are asked the same questions; the answers are stored, and scored when they are compared."""

    method = (
        "Both models answer the same questions over the API that clients use, each in the engine that serves it, and "
        "a scorer says whether an answer is right. An answer that the scorer cannot read is wrong, and the share of "
        "those that it can read is reported. The loss is paired question by question: the original's share less the "
        "candidate's. Where answers are drawn by chance, each question counts once, with the mean of its answers. "
        "Slices by length go by the original's answer, so that both models are compared on the same questions."
    )

    def draw(self, ask: Ask[ResolvedGeneration]) -> DrawnQuestions:
        """Questions whose expected answers the scorer can use."""
        settings = ask.settings
        source = source_of(settings, ask.suite, ask.dataset(settings.dataset))
        drawn = draw_questions(source, settings.samples)
        check_expected(scorer_of(settings, ask.suite), drawn.questions, source)
        return replace(drawn, questions=enough_questions(drawn.questions, ask.suite))

    def output_tokens(self, settings: ResolvedGeneration) -> int:
        """As the suite says."""
        return settings.output_tokens

    async def ask_one(
        self, client: EngineClient, settings: ResolvedGeneration, question: Question, tokens: list[int]
    ) -> Answered:
        """One answer, or several that are drawn by chance."""
        constraint = None
        if settings.constrained:
            constraint = scorer_of(settings, "generation").constraint(question.expected)
        drawn_by = [sampling_of(settings, question, repeat) for repeat in range(settings.repeats)]
        replies = await together(client.answer(question.prompt, each, constraint) for each in drawn_by)
        return Answered(question, tokens, tuple(replies))

    def read(self, given: Answers, settings: ResolvedGeneration) -> ScoredAnswers:
        """The answers and what scores them."""
        return ScoredAnswers(given, scorer_of(settings, "generation"))

    def given(self, samples: ScoredAnswers) -> Answers:
        """The answers themselves."""
        return samples.answers

    def first(self, samples: ScoredAnswers, count: int) -> ScoredAnswers:
        """Those to the first questions."""
        return replace(samples, answers=first_answers(samples.answers, count))

    def compare(self, suite: str, samples: ScoredAnswers, original: ScoredAnswers | None) -> Summary:
        """The measurements, whole and by category and length; on a baseline only those that need no comparison."""
        return generation_rows.summarize(suite, samples, original)


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
