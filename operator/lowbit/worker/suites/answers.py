"""Answers of one model to questions: asked many at once, stored as arrays, paired by the question."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.worker.data.datasets import bad_line
from lowbit.worker.data.questions import Question, from_json, to_json
from lowbit.worker.engines.base import CONCURRENCY, BadRequestError, EngineClient, Prompt, Reply, ToolCall
from lowbit.worker.progress import Progress
from lowbit.worker.refuse import RefusalError
from lowbit.worker.suites.base import Arrays
from lowbit.worker.together import together


@dataclass(frozen=True)
class Answered:
    """A question, and what one model answered."""

    question: Question
    tokens: list[int]
    """Token ids that the model has read."""
    replies: tuple[Reply, ...] = ()
    """One, or several where answers are drawn by chance."""
    logprobs: tuple[float, ...] = ()
    """Of each choice, where the question has choices."""


@dataclass(frozen=True)
class Answers:
    """What one model answered to all questions of a suite."""

    answered: list[Answered]
    lines: int
    """Of the dataset."""
    duplicates: int
    """Lines that ask the same as another one."""
    parts: int = 1
    """In how many parts they were asked."""


Ask = Callable[[Question, list[int]], Awaitable[Answered]]
"""Asks one question, whose prompt has these token ids."""


async def ask_all(questions: Sequence[Question], ask: Ask, asker: Asker) -> list[Answered]:
    """Every question answered, CONCURRENCY at once, in the questions' order.

    Raises EngineError, and RefusalError with the line of a question that the engine refuses or that is too long.
    """
    gate = asyncio.Semaphore(CONCURRENCY)
    done = 0

    async def one(question: Question) -> Answered:
        nonlocal done
        async with gate:
            answered = await asker.ask(question, ask)
        done += 1
        asker.progress.report(done / len(questions), f"asked {done} of {len(questions)} questions")
        return answered

    return await together(one(question) for question in questions)


@dataclass(frozen=True)
class Asker:
    """Where questions are asked, and how a message names them."""

    client: EngineClient
    what: str
    """Name of the dataset in messages."""
    room: int | None
    """The most tokens that a prompt may have; None if the engine does not say."""
    progress: Progress

    async def ask(self, question: Question, ask: Ask) -> Answered:
        """One question. Raises RefusalError with its line if the engine refuses it."""
        try:
            tokens = await self.client.tokenize_prompt(question.prompt)
            if self.room is not None and len(tokens) > self.room:
                raise self._too_long(question, len(tokens))
            return await ask(question, tokens)
        except BadRequestError as error:
            raise bad_line(self.what, question.line, f"the engine refuses it: {error}", ACTION) from error

    def _too_long(self, question: Question, tokens: int) -> RefusalError:
        problem = f"has {tokens} tokens, and the engine takes {max(self.room or 0, 0)} before an answer"
        action = "shorten it or leave it out, ask for a shorter answer, or raise the engine's maxModelLen"
        return bad_line(self.what, question.line, problem, action)


ACTION = (
    "use roles in the order that the model's chat template knows; a model without a template takes plain texts (a "
    "field `text` per line); tools need an engine that is set up for them (vLLM: args --enable-auto-tool-choice and "
    "--tool-call-parser)"
)


def pair(original: Answers, candidate: Answers) -> list[tuple[Answered, Answered]]:
    """Original and candidate, question by question. Raises ValueError if they were not asked the same."""
    other = {one.question.id: one for one in candidate.answered}
    if len(other) != len(original.answered) or any(one.question.id not in other for one in original.answered):
        raise ValueError("the two models were not asked the same questions")
    return [(one, other[one.question.id]) for one in original.answered]


def pack(answers: Answers) -> Arrays:
    """Arrays: answered [bytes of JSON], counts [3]: lines, duplicates and parts."""
    data = json.dumps([_plain(one) for one in answers.answered], sort_keys=True).encode()
    counts = np.array([answers.lines, answers.duplicates, answers.parts], dtype=np.int64)
    return {"answered": np.frombuffer(data, dtype=np.uint8), "counts": counts}


def unpack(arrays: Mapping[str, npt.NDArray[Any]]) -> Answers:
    """The inverse of pack. Raises KeyError or ValueError if the arrays are something else."""
    lines, duplicates, parts = (int(count) for count in arrays["counts"])
    try:
        answered = [_answered(value) for value in json.loads(arrays["answered"].tobytes())]
    except (TypeError, AttributeError) as error:
        raise ValueError(f"the answers are not what was written: {error}") from error
    if not answered:
        raise ValueError("there are no answers")
    return Answers(answered, lines, duplicates, parts)


def texts(answers: Answers) -> list[list[int]]:
    """Token ids of the prompts."""
    return [one.tokens for one in answers.answered]


def shown(prompt: Prompt) -> str:
    """A prompt for people: a text, or the last thing that was said in a chat."""
    if prompt.messages is None:
        return prompt.text or ""
    content = prompt.messages[-1].get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content)
    return str(content or "")


def _plain(one: Answered) -> dict[str, Any]:
    return {
        "question": to_json(one.question), "tokens": one.tokens, "logprobs": one.logprobs,
        "replies": [asdict(reply) for reply in one.replies],
    }  # fmt: skip


def _answered(value: Mapping[str, Any]) -> Answered:
    replies = tuple(
        Reply(**{**reply, "tool_calls": tuple(ToolCall(**call) for call in reply["tool_calls"])})
        for reply in value["replies"]
    )
    return Answered(from_json(value["question"]), list(value["tokens"]), replies, tuple(value["logprobs"]))
