"""Answers that the original generates: both models read them, and both generate along them.

While decoding, two models are compared at the same prefixes. The original's engine is gone when the candidate is
measured, so the candidate follows the original's answer: it generates from the prompt until it chooses another token
than the original did. There the answer's own token is put in its place, and another request goes on behind it. The
first token of a request comes from prefill kernels, and is not compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lowbit.api.status import Measurement
from lowbit.api.suites.fidelity import Answers
from lowbit.api.suites.fidelity_metrics import ANSWER_KL, DECODING_KL, ON_ANSWERS, PREFILL_DECODE
from lowbit.api.suites.metric import Metric
from lowbit.worker.engines.base import CONCURRENCY, Decoded, EngineClient, Logprobs, Sampling
from lowbit.worker.refuse import EngineError
from lowbit.worker.suites import scoring
from lowbit.worker.suites.base import Section
from lowbit.worker.suites.fidelity_samples import AnswerSamples
from lowbit.worker.suites.measurement import measurement, unmeasured
from lowbit.worker.suites.reading import Step, join, read_all, table
from lowbit.worker.suites.scoring import Floats, Integers, Lists
from lowbit.worker.together import together

Followed = tuple[list[Logprobs], list[bool]]
"""At each token of an answer: the likeliest tokens, empty where they are not finite; whether decode kernels gave it."""


@dataclass(frozen=True)
class Engine:
    """An engine, and how it is asked."""

    client: EngineClient
    top: int
    """Likely tokens at each position."""
    step: Step
    """Called when one more answer is done."""


def lengths(settings: Answers, room: int | None) -> tuple[int, int]:
    """Longest prompt and answer in tokens, which together fit into room tokens (None: no limit)."""
    if room is None:
        return settings.prompt_tokens, settings.output_tokens
    output = max(1, min(settings.output_tokens, room // 2))
    return max(1, min(settings.prompt_tokens, room - output)), output


async def answer_all(
    engine: Engine, settings: Answers, prompts: Sequence[list[int]], output: int, groups: Integers
) -> AnswerSamples | None:
    """The original's answers to all prompts; None if the engine tells no token ids. groups: [prompts]."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one(number: int, prompt: list[int]) -> Decoded | None:
        sampling = Sampling(output, temperature=float(settings.temperature), seed=settings.seed + number)
        async with gate:
            found = await engine.client.decode(prompt, sampling, engine.top)
        engine.step()
        return found

    # Equal prompts have equal answers: chats that differ in their last answer alone count once.
    different = sorted({tuple(prompt): number for number, prompt in reversed(list(enumerate(prompts)))}.values())
    made = await together(one(number, prompts[number]) for number in different)
    kept = [number for number, found in zip(different, made, strict=True) if found is not None and found.tokens]
    answers = [found for found in made if found is not None and found.tokens]
    if not answers:
        return None
    texts = [prompts[number] + found.tokens for number, found in zip(kept, answers, strict=True)]
    followed = [(found.logprobs, [step > 0 for step in range(len(found.tokens))]) for found in answers]
    return await _samples(engine, texts, [len(prompts[number]) for number in kept], groups[kept], followed)


async def follow_all(engine: Engine, original: AnswerSamples) -> AnswerSamples:
    """The candidate on the original's answers. Raises EngineError."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one(text: list[int], prompt: int) -> Followed:
        async with gate:
            found = await follow(engine, text[:prompt], text[prompt:])
        engine.step()
        return found

    pairs = zip(original.texts, original.prompts, strict=True)
    followed = await together(one(text, prompt) for text, prompt in pairs)
    return await _samples(engine, original.texts, original.prompts, original.groups, followed)


async def follow(engine: Engine, prompt: list[int], answer: list[int]) -> Followed:
    """The likeliest tokens at each token of an answer, while the engine generates along it."""
    found: list[Logprobs] = []
    by_decode: list[bool] = []
    while len(found) < len(answer):
        begin = len(found)
        made = await engine.client.decode(prompt + answer[:begin], Sampling(len(answer) - begin), engine.top)
        if made is None:
            missing = len(answer) - begin
            return found + [{-1: float("nan")}] * missing, by_decode + [True] * missing
        if not made.tokens:
            raise EngineError("the engine generated no token where the original's answer goes on")
        for step, (token, likely) in enumerate(zip(made.tokens, made.logprobs, strict=True)):
            found.append(likely)
            by_decode.append(step > 0)
            if len(found) == len(answer) or token != answer[len(found) - 1]:
                break
    return found, by_decode


async def _samples(
    engine: Engine, texts: list[list[int]], prompts: list[int], groups: Integers, followed: Sequence[Followed]
) -> AnswerSamples:
    """Read prompts and answers, and join what was generated."""
    read = await read_all(engine.client, texts, engine.top, lambda: None)
    parts = [lists[prompt - 1 :] for lists, prompt in zip(read, prompts, strict=True)]
    joined = join(parts)
    positions = [position for found, _ in followed for position in found]
    ids, logprobs = table(positions, engine.top)
    finite = np.where(ids[:, 0] == scoring.NO_TOKEN, np.nan, 0.0).astype(np.float32)
    by_decode = np.array([each for _, flags in followed for each in flags], dtype=np.bool_)
    return AnswerSamples(texts, prompts, groups, joined, Lists(ids, logprobs, joined.tokens, finite), by_decode)


def rows(suite: str, top: int, answers: AnswerSamples | None, original: AnswerSamples | None) -> list[Measurement]:
    """Measurements on answers; none without them. original: None on a baseline."""
    if answers is None:
        return []
    sides = [answers] if original is None else [original, answers]
    broken = int(sum(np.isnan(side.read.token_logprobs + side.decoded.token_logprobs).sum() for side in sides))
    if broken:
        metrics = ON_ANSWERS if original is not None else (PREFILL_DECODE,)
        return [unmeasured(suite, metric, len(answers.texts), broken) for metric in metrics]
    own = scoring.compare(answers.read, answers.decoded, top).kl_divergence
    found = _row(suite, PREFILL_DECODE, answers, np.where(answers.by_decode, own, np.nan))
    if original is None:
        return found
    read = scoring.compare(original.read, answers.read, top).kl_divergence
    decoded = scoring.compare(original.decoded, answers.decoded, top).kl_divergence
    both = np.where(original.by_decode & answers.by_decode, decoded, np.nan)
    return _row(suite, ANSWER_KL, answers, read) + _row(suite, DECODING_KL, answers, both) + found


def _row(suite: str, metric: Metric, answers: AnswerSamples, values: Floats) -> list[Measurement]:
    """A mean over answers of the mean over their tokens that have a value; answers of one group are one unit.

    Empty where no token has a value: a candidate that never chooses the original's token was never compared.
    """
    means = scoring.selected_means(values, answers.lengths, ~np.isnan(values))
    units = scoring.group_means(means, answers.groups)
    return [measurement(suite, metric, scoring.mean(units))] if len(units) else []


def section(suite: str, answers: AnswerSamples | None, original: AnswerSamples | None) -> list[Section]:
    """How many answers and tokens were compared."""
    if answers is None:
        return []
    by_decode = answers.by_decode if original is None else answers.by_decode & original.by_decode
    tokens = len(by_decode)
    text = (
        f"The original has generated {len(answers.texts)} answers of {tokens} tokens. {int(by_decode.sum())} of them "
        f"({100 * by_decode.mean():.1f} %) come from decode kernels"
    )
    text += "." if original is None else " on both sides; at the others a request begins, which prefill kernels answer."
    return [Section(f"Answers: {suite}", text)]
