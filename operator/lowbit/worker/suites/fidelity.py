"""Teacher forcing: the engine reads held-out texts, and returns logprobs of every token and of the likeliest others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.api.status import Measurement
from lowbit.api.suites.fidelity import (
    COVERED_MASS,
    KL_DIVERGENCE,
    PERPLEXITY,
    PERPLEXITY_RATIO,
    TOP1_AGREEMENT,
    ResolvedFidelity,
)
from lowbit.api.suites.metric import Metric
from lowbit.worker.engines.base import CONCURRENCY, EngineClient, Logprobs
from lowbit.worker.progress import Progress
from lowbit.worker.refuse import EngineError, RefusalError
from lowbit.worker.suites import fidelity_plots, scoring
from lowbit.worker.suites.base import Arrays, Ask, SeparateRunner, Summary
from lowbit.worker.suites.measurement import measurement
from lowbit.worker.suites.scoring import NO_TOKEN, Lists
from lowbit.worker.suites.texts import LEAST_TOKENS, Texts, tokenize
from lowbit.worker.together import together

LEAST_TEXTS = 2
"""One text has no standard error."""


@dataclass(frozen=True)
class SuiteSamples:
    """Samples of one model and one suite."""

    texts: list[list[int]]
    """Token ids; the first token of each is read but not scored."""
    top: int
    """Number of likely tokens that were requested at each position."""
    lists: Lists
    """Lists of all scored positions, text after text."""

    @property
    def lengths(self) -> scoring.Integers:
        """[texts]: scored positions of each."""
        return np.array([len(text) - 1 for text in self.texts], dtype=np.int64)


class FidelityRunner(SeparateRunner[ResolvedFidelity, SuiteSamples]):
    """Both models read the same token ids."""

    method = (
        "Both models read the same held-out texts as the same token ids, and the engine tells at each token how "
        "likely it and the top tokens were. KL(original || candidate) compares tokens that both lists hold one by "
        "one. A token that the candidate's list misses gets the share that brings the two models nearest (at most "
        "that of its last token, all together at most what the list leaves over); the rest is one remainder bucket. "
        "So the value is a lower bound of the true divergence, the nearer to it, the larger the covered mass, which "
        "is how much of the original was compared one by one (SmolLM2-135M in int4: 0.83 of the true value with 100 "
        "tokens and a covered mass of 0.90, 0.67 with 20 and 0.79). The bounds are about sampling error only; compare "
        "KL values only at the same number of top logprobs. Every value is a mean over texts of the mean over their "
        "tokens (a perplexity: exp of the mean over texts of their mean losses); standard errors count texts."
    )

    async def measure(self, ask: Ask[ResolvedFidelity], original: SuiteSamples | None) -> SuiteSamples:
        """Let the engine read all texts, many at once. Their token ids are made by the original's tokenizer."""
        settings = ask.settings
        if original is None:
            ask.progress.report(0.0, "tokenizing the texts", force=True)
            what, dataset = f"the dataset of suite {ask.suite}", ask.dataset(settings.dataset)
            read = await tokenize(
                ask.client, Texts(what, dataset, settings.format), settings.samples, cut_at(settings, ask.room)
            )
            texts = enough(read, ask.suite)
        else:
            texts = original.texts
        return await read_all(ask.client, texts, settings.top_logprobs, ask.progress)

    def summarize(self, suite: str, samples: SuiteSamples, original: SuiteSamples | None) -> Summary:
        """The measurements; on a baseline only those that need no comparison."""
        rows = Rows(suite, samples.lengths)
        if original is None:
            covered = scoring.covered_mass(samples.lists)
            return Summary([rows.of(PERPLEXITY, -samples.lists.token_logprobs), rows.of(COVERED_MASS, covered)])
        comparison = scoring.compare(original.lists, samples.lists, samples.top)
        losses = [-side.lists.token_logprobs for side in (original, samples)]
        return Summary(
            [
                rows.of(KL_DIVERGENCE, comparison.kl_divergence),
                rows.of(TOP1_AGREEMENT, comparison.agreement),
                rows.of(PERPLEXITY_RATIO, losses[1].astype(np.float64) - losses[0]),
                rows.of(PERPLEXITY, losses[1]),
                rows.of(COVERED_MASS, comparison.covered),
            ],
            {
                "klDivergence": comparison.kl_divergence.astype(np.float32),
                "agreement": comparison.agreement,
                "covered": comparison.covered.astype(np.float32),
            },
            [
                fidelity_plots.divergence(suite, comparison, samples.lengths),
                fidelity_plots.worst(suite, comparison, samples.lengths),
            ],
        )

    def pack(self, samples: SuiteSamples) -> Arrays:
        """Arrays: tokens [all tokens], lengths [texts], ids and logprobs [positions, w], tokenLogprobs [positions].

        Positions are the scored ones: every token but the first of each text.
        """
        return {
            "tokens": np.array([token for text in samples.texts for token in text], dtype=np.int32),
            "lengths": np.array([len(text) for text in samples.texts], dtype=np.int32),
            "ids": samples.lists.ids,
            "logprobs": samples.lists.logprobs,
            "tokenLogprobs": samples.lists.token_logprobs,
        }

    def unpack(self, arrays: Mapping[str, npt.NDArray[Any]], settings: ResolvedFidelity) -> SuiteSamples:
        """The inverse of pack."""
        tokens, lengths = arrays["tokens"], arrays["lengths"]
        if int(lengths.sum()) != len(tokens) or len(lengths) == 0:
            raise ValueError("the texts do not fit their lengths")
        texts = [part.tolist() for part in np.split(tokens, np.cumsum(lengths)[:-1])]
        scored = np.array([token for text in texts for token in text[1:]], dtype=np.int32)
        lists = Lists(arrays["ids"], arrays["logprobs"], scored, arrays["tokenLogprobs"])
        if not len(scored) == len(lists.ids) == len(lists.logprobs) == len(lists.token_logprobs):
            raise ValueError("the numbers do not fit the texts")
        return SuiteSamples(texts, settings.top_logprobs, lists)

    def texts(self, samples: SuiteSamples) -> list[list[int]]:
        """The texts that were read."""
        return samples.texts


@dataclass(frozen=True)
class Rows:
    """Makes measurements from values at all scored positions: means over texts of the means over their tokens.

    Standard errors count texts, because the tokens of one text are not independent.
    """

    suite: str
    lengths: scoring.Integers
    """[texts]: scored positions of each."""

    def of(self, metric: Metric, values: npt.NDArray[Any]) -> Measurement:
        """values: [positions], on the metric's scale."""
        return measurement(self.suite, metric, scoring.mean(scoring.text_means(values, self.lengths)))


def cut_at(settings: ResolvedFidelity, room: int | None) -> int:
    """Tokens after which a text is cut."""
    return settings.max_tokens if room is None else min(settings.max_tokens, room)


def enough(texts: list[list[int]], suite: str) -> list[list[int]]:
    """The texts. Raises RefusalError if they are too few for a standard error."""
    if len(texts) < LEAST_TEXTS:
        raise RefusalError(
            "TooFewTexts",
            f"suite {suite} has {len(texts)} texts of at least {LEAST_TOKENS} tokens, and needs two",
            "give the suite a dataset with more, longer texts",
        )
    return texts


async def read_all(client: EngineClient, texts: list[list[int]], top: int, progress: Progress) -> SuiteSamples:
    """Let the engine read all texts, many at once. Raises EngineError at the first request that it drops."""
    gate = asyncio.Semaphore(CONCURRENCY)
    done = 0

    async def read(text: list[int]) -> Lists:
        nonlocal done
        async with gate:
            positions = await client.prompt_logprobs(text, top)
        lists = parse(text, positions, top)
        done += 1
        progress.report(done / len(texts), f"read {done} of {len(texts)} texts")
        return lists

    return SuiteSamples(texts, top, join(await together(read(text) for text in texts)))


def parse(text: Sequence[int], positions: Sequence[Logprobs], top: int) -> Lists:
    """The lists of one text, from the logprobs at each token but the first.

    Raises EngineError if the token itself is not among them.
    """
    scored = len(text) - 1
    ids = np.full((scored, top + 1), NO_TOKEN, dtype=np.int32)
    logprobs = np.full((scored, top + 1), -np.inf, dtype=np.float32)
    token_logprobs = np.zeros(scored, dtype=np.float32)
    for row, (token, likely) in enumerate(zip(text[1:], positions, strict=True)):
        pairs = sorted(likely.items(), key=lambda pair: (-pair[1], pair[0]))[: top + 1]
        known = dict(pairs)
        if token not in known:
            raise EngineError(f"the engine did not say how likely token {row + 1} of a text was")
        ids[row, : len(pairs)] = [pair[0] for pair in pairs]
        logprobs[row, : len(pairs)] = [pair[1] for pair in pairs]
        token_logprobs[row] = known[token]
    return Lists(ids, logprobs, np.array(text[1:], dtype=np.int32), token_logprobs)


def join(lists: Sequence[Lists]) -> Lists:
    """One Lists of all texts, text after text."""
    return Lists(
        np.concatenate([one.ids for one in lists]),
        np.concatenate([one.logprobs for one in lists]),
        np.concatenate([one.tokens for one in lists]),
        np.concatenate([one.token_logprobs for one in lists]),
    )
