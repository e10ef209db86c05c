"""What a perplexity suite shows to people: perplexities with their errors, and the articles that differ most."""

from __future__ import annotations

from math import exp
from typing import Final

import numpy as np

from lowbit.worker.engines.base import EngineClient
from lowbit.worker.suites.base import ComparedSample, Section
from lowbit.worker.suites.fidelity_words import BEFORE, SHOWN, identity, texts_of
from lowbit.worker.suites.perplexity_samples import ChunkSamples, over_articles, over_chunks, over_tokens
from lowbit.worker.suites.scoring import Integers, Mean

OVER: Final = (("tokens, as llama-perplexity", over_tokens), ("chunks", over_chunks), ("articles", over_articles))
"""What an error counts as independent, and how it is computed."""


def plus_minus(mean: Mean) -> str:
    """As llama-perplexity prints it, with the sign of print: 14.6109 ± 0.10800."""
    value = exp(min(mean.value, 700.0))
    return f"{value:.4f} ± {value * mean.standard_error:.5f}"


def section(suite: str, samples: ChunkSamples, original: ChunkSamples | None) -> Section:
    """Perplexities with their errors. original: None on a baseline."""
    articles = len(set(samples.articles.tolist()))
    known, short = samples.left_out
    text = (
        f"Over {len(samples.losses)} scored tokens in {len(samples.chunks)} chunks of {articles} articles. The dataset "
        f"has {known} articles; {short} of those that were looked at are too short, or equal to another. An error over "
        "tokens takes them as independent, and is too small; that over articles is the honest one."
    )
    sides = [samples] if original is None else [original, samples]
    rows = [(f"Error over {what}", *(plus_minus(of(side)) for side in sides)) for what, of in OVER]
    header = ("Perplexity", "Original") if original is None else ("Perplexity", "Original", "Candidate")
    return Section(f"Perplexity: {suite}", text, header=header, rows=rows)


def worst_rows(samples: ChunkSamples, original: ChunkSamples) -> Integers:
    """[articles]: index of the scored token at which the candidate lost most."""
    lost = samples.losses - original.losses
    owners = np.repeat(samples.articles, samples.scored)
    order = np.lexsort((-lost, owners))
    first: Integers = order[np.searchsorted(owners[order], np.arange(int(owners.max()) + 1))]
    return first


async def words_of(client: EngineClient, samples: ChunkSamples, original: ChunkSamples) -> dict[str, dict[str, str]]:
    """What people see of the articles that differ most, by the article's number, by the engine's own tokenizer."""
    differences = samples.by_article() - original.by_article()
    order = np.argsort(-differences, kind="stable")[:SHOWN].tolist()
    places = [place_of(samples, row) for row in worst_rows(samples, original)[order].tolist()]
    prompts = await texts_of(client, [samples.chunks[chunk][max(0, at - BEFORE) : at] for chunk, at in places])
    expected = await texts_of(client, [[samples.chunks[chunk][at]] for chunk, at in places])
    return {
        str(article): {"prompt": prompt, "expected": token}
        for article, prompt, token in zip(order, prompts, expected, strict=True)
    }


def place_of(samples: ChunkSamples, scored: int) -> tuple[int, int]:
    """The chunk of a scored token, and its place there."""
    row = int(samples.rows[scored])
    ends = np.cumsum(samples.read)
    chunk = int(np.searchsorted(ends, row, side="right"))
    return chunk, row - int(ends[chunk] - samples.read[chunk]) + 1


def compared(samples: ChunkSamples, original: ChunkSamples) -> list[ComparedSample]:
    """Every article, the worst first."""
    sides = (original.by_article(), samples.by_article())
    worst = worst_rows(samples, original)
    tokens = np.bincount(samples.articles, samples.scored)
    found = []
    for article in np.argsort(sides[0] - sides[1], kind="stable").tolist():
        words, before, after = samples.words.get(str(article), {}), sides[0][article], sides[1][article]
        chunks = np.flatnonzero(samples.articles == article)
        shares = [exp(-side.losses[worst[article]]) for side in (original, samples)]
        found.append(
            ComparedSample(
                id=identity([token for chunk in chunks for token in samples.chunks[chunk]]),
                prompt=words.get("prompt", ""),
                expected=words.get("expected", ""),
                original=f"probability {shares[0]:.2g}",
                candidate=f"probability {shares[1]:.2g}",
                score=float(after - before),
                note=f"perplexity {exp(before):.2f} -> {exp(after):.2f} over {int(tokens[article])} tokens in "
                f"{len(chunks)} chunks",
            )
        )
    return found
