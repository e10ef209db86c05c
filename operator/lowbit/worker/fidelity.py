"""Teacher forcing: the engine reads held-out texts, and tells how likely it found every token, and which others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

import numpy as np

from lowbit.api.status import Estimate, FidelitySummary
from lowbit.worker import scoring
from lowbit.worker.engines.vllm import CONCURRENCY, EngineClient
from lowbit.worker.progress import Progress
from lowbit.worker.refuse import EngineError
from lowbit.worker.scoring import NO_TOKEN, Comparison, Lists, Mean
from lowbit.worker.together import together


@dataclass(frozen=True)
class SuiteSamples:
    """What one model gave for one suite."""

    texts: list[list[int]]
    """Token ids; the first token of each is read but not scored."""
    top: int
    """How many likely tokens were asked for at each position."""
    lists: Lists
    """Of all scored positions, text after text."""

    @property
    def lengths(self) -> scoring.Integers:
        """[texts]: scored positions of each."""
        return np.array([len(text) - 1 for text in self.texts], dtype=np.int64)


async def measure(client: EngineClient, texts: list[list[int]], top: int, progress: Progress) -> SuiteSamples:
    """Let the engine read all texts, many at once. Raises EngineError at the first one that it drops."""
    gate = asyncio.Semaphore(CONCURRENCY)
    done = 0

    async def read(text: list[int]) -> Lists:
        nonlocal done
        async with gate:
            choice = await client.complete(text, max_tokens=1, prompt_logprobs=top)
        lists = parse(text, choice, top)
        done += 1
        progress.report(done / len(texts), f"read {done} of {len(texts)} texts")
        return lists

    return SuiteSamples(texts, top, join(await together(read(text) for text in texts)))


def parse(text: Sequence[int], choice: Mapping[str, Any], top: int) -> Lists:
    """The lists of one text, from vLLM's prompt_logprobs: per token a map from token ids to {"logprob": ...}.

    Raises EngineError when a position or its real token is missing.
    """
    positions = choice.get("prompt_logprobs")
    if not isinstance(positions, list) or len(positions) != len(text):
        got = len(positions) if isinstance(positions, list) else "no"
        raise EngineError(f"the engine gave {got} prompt logprobs for a text of {len(text)} tokens")
    scored = len(text) - 1
    ids = np.full((scored, top + 1), NO_TOKEN, dtype=np.int32)
    logprobs = np.full((scored, top + 1), -np.inf, dtype=np.float32)
    token_logprobs = np.zeros(scored, dtype=np.float32)
    for row, (token, entry) in enumerate(zip(text[1:], positions[1:], strict=True)):
        pairs = sorted(pairs_of(entry), key=lambda pair: (-pair[1], pair[0]))[: top + 1]
        known = dict(pairs)
        if token not in known:
            raise EngineError(f"the engine did not say how likely token {row + 1} of a text was")
        ids[row, : len(pairs)] = [pair[0] for pair in pairs]
        logprobs[row, : len(pairs)] = [pair[1] for pair in pairs]
        token_logprobs[row] = known[token]
    return Lists(ids, logprobs, np.array(text[1:], dtype=np.int32), token_logprobs)


def pairs_of(entry: Any) -> list[tuple[int, float]]:
    """(token id, logprob) pairs of one position. Raises EngineError where they are none."""
    try:
        return [
            (int(token), float(value["logprob"] if isinstance(value, Mapping) else value))
            for token, value in (entry or {}).items()
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EngineError(f"the engine gave logprobs that cannot be read: {str(entry)[:200]}") from error


def join(lists: Sequence[Lists]) -> Lists:
    """Text after text."""
    return Lists(
        np.concatenate([one.ids for one in lists]),
        np.concatenate([one.logprobs for one in lists]),
        np.concatenate([one.tokens for one in lists]),
        np.concatenate([one.token_logprobs for one in lists]),
    )


def summarize_alone(suite: str, samples: SuiteSamples) -> FidelitySummary:
    """What a baseline tells by itself."""
    return FidelitySummary(
        suite=suite,
        samples=len(samples.texts),
        tokens=len(samples.lists),
        perplexity=perplexity(samples),
        covered_mass=covered(scoring.covered_mass(samples.lists), samples.lengths),
    )


def summarize(suite: str, original: SuiteSamples, candidate: SuiteSamples, comparison: Comparison) -> FidelitySummary:
    """A candidate beside its baseline. Every value is a mean over texts of the mean over their tokens, so that the
    standard errors count texts: tokens of one text are not independent."""
    lengths = original.lengths
    losses = [scoring.text_means(-side.lists.token_logprobs, lengths) for side in (original, candidate)]
    return FidelitySummary(
        suite=suite,
        samples=len(candidate.texts),
        tokens=len(candidate.lists),
        perplexity=perplexity(candidate),
        kl_divergence=estimate(scoring.mean(scoring.text_means(comparison.kl_divergence, lengths))),
        log_perplexity_ratio=estimate(scoring.mean(losses[1] - losses[0])),
        top1_agreement=estimate(scoring.mean(scoring.text_means(comparison.agreement, lengths))),
        covered_mass=covered(comparison.covered, lengths),
    )


def covered(masses: scoring.Floats, lengths: scoring.Integers) -> str:
    """Mean over texts of the mean probability mass over their tokens."""
    return number(float(np.mean(scoring.text_means(masses, lengths))))


def perplexity(samples: SuiteSamples) -> Estimate:
    """exp of the mean loss; its standard error to first order."""
    loss = scoring.mean(scoring.text_means(-samples.lists.token_logprobs, samples.lengths))
    value = exp(min(loss.value, 700.0))
    return estimate(Mean(value, value * loss.standard_error, loss.count))


def estimate(mean: Mean) -> Estimate:
    """As it goes into a status."""
    return Estimate(value=number(mean.value), standard_error=number(mean.standard_error), count=mean.count)


def number(value: float) -> str:
    """Six significant digits."""
    return f"{value:.6g}"
