"""Samples of a perplexity suite, and what follows from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lowbit.worker.suites.base import Arrays
from lowbit.worker.suites.chunks import scored_from
from lowbit.worker.suites.fidelity_samples import Stored, pack_texts, unpack_texts
from lowbit.worker.suites.scoring import Floats, Integers, Mean, text_means


@dataclass(frozen=True)
class ChunkSamples:
    """One model on all chunks."""

    chunks: list[list[int]]
    articles: Integers
    """[chunks]: number of the article of each, from 0."""
    token_logprobs: Floats
    """[tokens but the first of each chunk], chunk after chunk."""
    left_out: tuple[int, int]
    """Articles of the dataset, and those that were looked at and are too short, or equal to another."""
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What people see of the articles that differ most, by the article's number; on a candidate only."""

    @property
    def read(self) -> Integers:
        """[chunks]: tokens but the first."""
        return np.array([len(chunk) - 1 for chunk in self.chunks], dtype=np.int64)

    @property
    def rows(self) -> Integers:
        """Indices of token_logprobs that are scored: those of each chunk's second half."""
        starts = np.cumsum(self.read) - self.read
        pairs = zip(starts, self.chunks, strict=True)
        return np.concatenate([start + np.arange(scored_from(len(each)), len(each) - 1) for start, each in pairs])

    @property
    def scored(self) -> Integers:
        """[chunks]: scored tokens of each."""
        return np.array([len(each) - 1 - scored_from(len(each)) for each in self.chunks], dtype=np.int64)

    @property
    def losses(self) -> Floats:
        """[scored tokens], in nats."""
        values: Floats = -self.token_logprobs[self.rows].astype(np.float64)
        return values

    def by_chunk(self) -> Floats:
        """[chunks]: mean losses."""
        return text_means(self.losses, self.scored)

    def by_article(self) -> Floats:
        """[articles]: mean losses over all scored tokens of an article."""
        sums = np.bincount(self.articles, self.by_chunk() * self.scored)
        found: Floats = sums / np.bincount(self.articles, self.scored)
        return found


def over_tokens(samples: ChunkSamples) -> Mean:
    """The mean loss with llama-perplexity's error: that of independent tokens, which chunks of tokens are not."""
    losses = samples.losses
    variance = max(float((losses**2).mean() - losses.mean() ** 2), 0.0)
    error = (variance / (len(losses) - 1)) ** 0.5
    return Mean(float(losses.mean()), error, float("nan"), len(samples.chunks))


def over_chunks(samples: ChunkSamples) -> Mean:
    """The same mean loss, with an error that counts chunks: to first order, weighted by their scored tokens."""
    weights = samples.scored / samples.scored.mean()
    value = over_tokens(samples).value
    return _influenced(value, weights * (samples.by_chunk() - value))


def over_articles(samples: ChunkSamples) -> Mean:
    """The same mean loss, with an error that counts articles: to first order, weighted by their scored tokens."""
    tokens = np.bincount(samples.articles, samples.scored)
    value = over_tokens(samples).value
    return _influenced(value, tokens / tokens.mean() * (samples.by_article() - value))


def _influenced(value: float, influences: Floats) -> Mean:
    count = len(influences)
    error = float(influences.std(ddof=1) / count**0.5) if count > 1 else float("nan")
    return Mean(value, error, float("nan"), count)


def pack(samples: ChunkSamples) -> Arrays:
    """Arrays: tokens [all tokens], lengths and articles [chunks], tokenLogprobs [tokens but each chunk's first],
    leftOut [2], words as JSON where there are any.
    """
    found = {
        **pack_texts(samples.chunks),
        "articles": samples.articles.astype(np.int32),
        "tokenLogprobs": samples.token_logprobs,
        "leftOut": np.array(samples.left_out, dtype=np.int64),
    }
    if samples.words:
        found["words"] = np.frombuffer(json.dumps(samples.words, sort_keys=True).encode(), dtype=np.uint8)
    return found


def unpack(arrays: Stored) -> ChunkSamples:
    """The inverse of pack."""
    chunks, logprobs = unpack_texts(arrays), arrays["tokenLogprobs"]
    known, short = arrays["leftOut"].tolist()
    words = json.loads(arrays["words"].tobytes()) if "words" in arrays else {}
    if len(arrays["articles"]) != len(chunks) or len(logprobs) != sum(len(chunk) - 1 for chunk in chunks):
        raise ValueError("the numbers do not fit the chunks")
    return ChunkSamples(chunks, arrays["articles"], logprobs, (known, short), words)
