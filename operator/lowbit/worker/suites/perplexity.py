"""Perplexity on running text: the engine reads it in chunks, and the second half of each is scored.

The form, and a model's own error, are those of llama-perplexity (llama.cpp, tools/perplexity/perplexity.cpp, function
perplexity): only tokens behind n_ctx / 2 count, so that each has context; PPL = exp(mean loss), and its error is
PPL * sqrt((E[loss^2] - E[loss]^2) / (count - 1)) over all scored tokens, as if they were independent. They are not, so
a gate judges the ratio to the original instead, paired by article.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.api.suites.fidelity_metrics import PERPLEXITY, PERPLEXITY_RATIO
from lowbit.api.suites.perplexity import ResolvedPerplexity
from lowbit.worker.engines.base import CONCURRENCY
from lowbit.worker.refuse import RefusalError
from lowbit.worker.suites import perplexity_report, scoring
from lowbit.worker.suites.base import Arrays, Ask, Section, SeparateRunner, Summary
from lowbit.worker.suites.chunks import LEAST_TOKENS, Chunks, Cut, draw
from lowbit.worker.suites.measurement import measurement, unmeasured
from lowbit.worker.suites.perplexity_samples import ChunkSamples, over_tokens, pack, unpack
from lowbit.worker.suites.reading import counting, parse
from lowbit.worker.suites.scoring import Floats, Integers
from lowbit.worker.suites.texts import Texts
from lowbit.worker.together import together

LEAST_ARTICLES = 2
"""One article has no standard error."""
TOP = 1
"""Likely tokens that are asked for beside the text's own; none is needed."""


class PerplexityRunner(SeparateRunner[ResolvedPerplexity, ChunkSamples]):
    """Both models read the same chunks."""

    method = (
        "Both models read the same running text, in chunks of the same token ids, and the second half of each chunk is "
        "scored, so that every token has context before it. A model's own perplexity is exp of the mean loss over all "
        "scored tokens. Its error is that of llama-perplexity, which counts tokens as independent; the report has it "
        "over chunks and over articles beside it. The ratio to the original is exp of the mean over articles of the "
        "difference of their mean losses: its bounds count articles, because parts of one are not independent."
    )

    async def measure(self, ask: Ask[ResolvedPerplexity], original: ChunkSamples | None) -> ChunkSamples:
        """Let the engine read all chunks, many at once. Their token ids are made by the original's tokenizer."""
        articles: Integers
        if original is None:
            drawn = await cut(ask)
            left_out = (drawn.known, drawn.short)
            chunks, articles = drawn.chunks, np.array(drawn.articles)
        else:
            chunks, articles, left_out = original.chunks, original.articles, original.left_out
        samples = ChunkSamples(chunks, articles, await read(ask, chunks), left_out)
        if original is None or not_finite(samples, original):
            return samples
        return replace(samples, words=await perplexity_report.words_of(ask.client, samples, original))

    def summarize(self, suite: str, samples: ChunkSamples, original: ChunkSamples | None) -> Summary:
        """The measurements; on a baseline the perplexity alone."""
        if broken := not_finite(samples, original):
            return unusable(suite, broken, samples)
        own = measurement(suite, PERPLEXITY, over_tokens(samples))
        if original is None:
            return Summary([own], sections=[perplexity_report.section(suite, samples, None)])
        ratios = samples.by_article() - original.by_article()
        return Summary(
            [measurement(suite, PERPLEXITY_RATIO, scoring.mean(ratios)), own],
            {"losses": samples.losses.astype(np.float32), "articleRatios": np.exp(ratios)},
            [perplexity_report.section(suite, samples, original)],
            perplexity_report.compared(samples, original),
        )

    def pack(self, samples: ChunkSamples) -> Arrays:
        """As perplexity_samples says."""
        return pack(samples)

    def unpack(self, arrays: Mapping[str, npt.NDArray[Any]], settings: ResolvedPerplexity) -> ChunkSamples:
        """The inverse of pack."""
        return unpack(arrays)

    def texts(self, samples: ChunkSamples) -> list[list[int]]:
        """The chunks that were read."""
        return samples.chunks


async def cut(ask: Ask[ResolvedPerplexity]) -> Chunks:
    """The chunks of the articles that are drawn. Raises RefusalError if they are too few for a standard error."""
    settings = ask.settings
    ask.progress.report(0.0, "tokenizing the articles", force=True)
    what = f"the dataset of suite {ask.suite}"
    texts = Texts(what, ask.dataset(settings.dataset), settings.format, settings.dataset)
    longest = settings.max_tokens if ask.room is None else min(settings.max_tokens, ask.room)
    drawn = await draw(ask.client, texts, Cut(settings.samples, longest, settings.chunks))
    if len(set(drawn.articles)) < LEAST_ARTICLES:
        raise RefusalError(
            "TooFewTexts",
            f"suite {ask.suite} has {len(set(drawn.articles))} articles of at least {LEAST_TOKENS} tokens, and needs "
            "two",
            "give the suite a dataset with more, longer articles; lines with the same `group` are one article",
        )
    return drawn


async def read(ask: Ask[ResolvedPerplexity], chunks: list[list[int]]) -> Floats:
    """Logprobs of all tokens but the first of each chunk; NaN where they are not finite. Raises EngineError."""
    gate, step = asyncio.Semaphore(CONCURRENCY), counting(ask.progress, "read", len(chunks))

    async def one(chunk: list[int]) -> Floats:
        async with gate:
            positions = await ask.client.prompt_logprobs(chunk, TOP)
        found = parse(chunk, positions, TOP).token_logprobs
        step()
        return found

    return np.concatenate(await together(one(chunk) for chunk in chunks))


def not_finite(samples: ChunkSamples, original: ChunkSamples | None) -> int:
    """Scored tokens for which a model gave no finite logprob."""
    sides = [samples] if original is None else [samples, original]
    return int(np.logical_or.reduce([~np.isfinite(side.losses) for side in sides]).sum())


def unusable(suite: str, broken: int, samples: ChunkSamples) -> Summary:
    """No number of the suite counts: a model that answers NaN predicts nothing."""
    count = len(set(samples.articles.tolist()))
    rows = [unmeasured(suite, metric, count, broken) for metric in (PERPLEXITY_RATIO, PERPLEXITY)]
    text = f"{broken} of {len(samples.losses)} scored tokens have no finite log probability (NaN or infinite)."
    return Summary(rows, sections=[Section(f"Not finite: {suite}", text)])
