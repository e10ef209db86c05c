"""A few generated answers, reported only: suites read prompts with prefill kernels, and decode kernels may differ."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, nan

from lowbit.api.base import Tolerant
from lowbit.worker.engines.base import EngineClient
from lowbit.worker.together import together

PROMPTS = 8
PROMPT_TOKENS = 64
OUTPUT_TOKENS = 32


class Generated(Tolerant):
    """One greedy answer."""

    prompt: list[int]
    tokens: list[int]
    logprobs: list[float]
    """Logprob of each generated token, from the decode kernels."""
    prefill_logprobs: list[float]
    """Logprobs of the same tokens, read as a prompt by the same model."""


class DecodingSummary(Tolerant):
    """Means over the prompts."""

    prompts: int
    tokens: int
    prefill_difference: float | None = None
    """Mean absolute difference in nats between decode and prefill, of one model with itself."""
    same_tokens: float | None = None
    """Share of tokens that are the original's, position by position; absent on a baseline."""
    same_prefix: float | None = None
    """Mean number of tokens before the answers differ."""


def lengths(room: int | None) -> tuple[int, int]:
    """Lengths of prompts and answers in tokens, which together fit into room tokens (None: no limit)."""
    if room is None:
        return PROMPT_TOKENS, OUTPUT_TOKENS
    output = max(1, min(OUTPUT_TOKENS, room // 2))
    return max(1, min(PROMPT_TOKENS, room - output)), output


def prompts_of(texts: Sequence[Sequence[int]], length: int) -> list[list[int]]:
    """The beginnings of the first texts."""
    return [list(text[:length]) for text in texts[:PROMPTS]]


async def generate(client: EngineClient, prompts: Sequence[Sequence[int]], output_tokens: int) -> list[Generated]:
    """Greedy answers to all prompts. Empty if the engine returns no token ids. Raises EngineError."""
    answers = await together(_one(client, list(prompt), output_tokens) for prompt in prompts)
    return [answer for answer in answers if answer is not None]


async def _one(client: EngineClient, prompt: list[int], output_tokens: int) -> Generated | None:
    answer = await client.generate(prompt, output_tokens)
    if answer is None or not answer.tokens:
        return None
    read = (await client.prompt_logprobs(prompt + answer.tokens, 1))[len(prompt) - 1 :]
    if not all(isfinite(known.get(token, nan)) for token, known in zip(answer.tokens, read, strict=True)):
        return None
    prefill = [known[token] for token, known in zip(answer.tokens, read, strict=True)]
    return Generated(prompt=prompt, tokens=answer.tokens, logprobs=answer.logprobs, prefill_logprobs=prefill)


def summarize(answers: Sequence[Generated], original: Sequence[Generated]) -> DecodingSummary | None:
    """Means over the answers; None without answers. original is empty on a baseline."""
    if not answers:
        return None
    differences = [abs(a - b) for one in answers for a, b in zip(one.logprobs, one.prefill_logprobs, strict=True)]
    pairs = [(one, other) for one in answers for other in original if one.prompt == other.prompt]
    same = [_share(one.tokens, other.tokens) for one, other in pairs]
    return DecodingSummary(
        prompts=len(answers),
        tokens=sum(len(one.tokens) for one in answers),
        prefill_difference=sum(differences) / len(differences),
        same_tokens=sum(same) / len(same) if same else None,
        same_prefix=sum(_prefix(x.tokens, y.tokens) for x, y in pairs) / len(pairs) if pairs else None,
    )


def _share(one: Sequence[int], other: Sequence[int]) -> float:
    return sum(a == b for a, b in zip(one, other, strict=False)) / max(len(one), len(other), 1)


def _prefix(one: Sequence[int], other: Sequence[int]) -> int:
    for position, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return position
    return min(len(one), len(other))
