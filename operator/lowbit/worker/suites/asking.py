"""Suites that ask questions: both models are asked the same ones, a candidate in parts until its gate is decided."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy.typing as npt

from lowbit.worker.data.questions import DrawnQuestions, Question
from lowbit.worker.engines.base import EngineClient
from lowbit.worker.suites import answers
from lowbit.worker.suites.answers import Answered, Answers, Asker, ask_all
from lowbit.worker.suites.base import Arrays, Ask, LookingRunner, Part, Summary

Settings = TypeVar("Settings")
Read = TypeVar("Read")


class AskingRunner(LookingRunner[Settings, Read]):
    """The original is asked everything at once, because it is asked once for all candidates."""

    @abstractmethod
    def draw(self, ask: Ask[Settings]) -> DrawnQuestions:
        """The questions of the dataset. Raises RefusalError if they cannot be used."""

    @abstractmethod
    def output_tokens(self, settings: Settings) -> int:
        """The longest answer."""

    @abstractmethod
    async def ask_one(
        self, client: EngineClient, settings: Settings, question: Question, tokens: list[int]
    ) -> Answered:
        """One question, whose prompt has these token ids, and what is answered."""

    @abstractmethod
    def read(self, given: Answers, settings: Settings) -> Read:
        """The answers, with what is needed to say what they mean."""

    @abstractmethod
    def given(self, samples: Read) -> Answers:
        """The answers themselves."""

    @abstractmethod
    def compare(self, suite: str, samples: Read, original: Read | None) -> Summary:
        """The measurements. original: with the same questions; None on a baseline."""

    @abstractmethod
    def first(self, samples: Read, count: int) -> Read:
        """The samples of the first questions alone."""

    async def measure(self, ask: Ask[Settings], original: Read | None) -> Read:
        """Every question."""
        whole = self.draw(ask) if original is None else drawn_of(self.given(original))
        found = await self._ask(ask, whole.questions)
        return self.read(Answers(found, whole.lines, whole.duplicates, ask.looks), ask.settings)

    async def measure_part(self, ask: Ask[Settings], original: Read | None, before: Read | None, part: Part) -> Read:
        """The questions of one part more, of those that the original was asked."""
        whole = self.draw(ask) if original is None else drawn_of(self.given(original))
        known = self.given(before).answered if before is not None else []
        more = await self._ask(ask, whole.questions[len(known) : part.end(len(whole.questions))])
        return self.read(Answers([*known, *more], whole.lines, whole.duplicates, part.number), ask.settings)

    async def _ask(self, ask: Ask[Settings], questions: list[Question]) -> list[Answered]:
        room = None if ask.room is None else ask.room + 1 - self.output_tokens(ask.settings)
        asker = Asker(ask.client, f"the dataset of suite {ask.suite}", room, ask.progress)

        async def one(question: Question, tokens: list[int]) -> Answered:
            return await self.ask_one(ask.client, ask.settings, question, tokens)

        return await ask_all(questions, one, asker)

    def parts(self, samples: Read) -> int:
        """As they were asked."""
        return self.given(samples).parts

    def summarize(self, suite: str, samples: Read, original: Read | None) -> Summary:
        """The measurements, on the questions that the candidate was asked."""
        if original is not None:
            original = self.first(original, len(self.given(samples).answered))
        return self.compare(suite, samples, original)

    def pack(self, samples: Read) -> Arrays:
        """The answers; what they mean is computed from them."""
        return answers.pack(self.given(samples))

    def unpack(self, arrays: Mapping[str, npt.NDArray[Any]], settings: Settings) -> Read:
        """The inverse of pack."""
        return self.read(answers.unpack(arrays), settings)

    def texts(self, samples: Read) -> list[list[int]]:
        """Token ids of the questions."""
        return answers.texts(self.given(samples))


def drawn_of(given: Answers) -> DrawnQuestions:
    """The questions that were asked."""
    return DrawnQuestions([one.question for one in given.answered], given.lines, given.duplicates)


def first_answers(given: Answers, count: int) -> Answers:
    """Those to the first questions."""
    return given if count >= len(given.answered) else replace(given, answered=given.answered[:count])
