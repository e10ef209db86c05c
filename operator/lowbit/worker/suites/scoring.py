"""Distances between two models' next-token distributions, from the lists of likely tokens that an engine gives.

An engine returns only the k most likely tokens of each distribution, and the real token. What is compared:

- every token that both lists hold: one by one;
- a token of the original's list that the candidate's list misses: its probability q is not known, but it is at most
  that of the candidate's k-th token (the cap), and all of them together fit into what the candidate's list leaves over;
- everything else, tokens that only the candidate's list holds among it: one remainder bucket.

Of all distributions that agree with the lists, the one with the smallest divergence is taken: q = min(cap, l * p) for
the missed tokens and q = l * p for the remainder, with l chosen so that all q sum to 1. So the value never exceeds
KL(original || candidate), and a favourite that the candidate has lost still counts in full down to the cap; covered
mass says how much of the original was compared one by one.

How far below: against the full softmax, SmolLM2-135M as GPTQ int4 with groups of 64 gave 0.67 of the true divergence
with 20 tokens, 0.77 with 50, 0.83 with 100, 0.88 with 200, 0.96 with 1,000 (60 chats of 76 to 92 tokens, covered mass
0.79 to 0.97); rounded to 4, 5, 6 and 8 bits 0.68 to 0.75, 0.84 to 0.88 (100) and 0.96 (1,000); rounded to 3 bits, which
ruins it, 0.52 and 0.72 (100) of 2.5 nats. A threshold is therefore one on this value at this number of tokens: it
cannot be carried over from a full-softmax figure, nor from another topLogprobs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]
Booleans = npt.NDArray[np.bool_]

NO_TOKEN = -1
"""Fills lists that are shorter than others."""
BLOCK = 4096
"""Positions that are compared at once: a dozen arrays of [block, w] doubles are in memory, about 50 MB at w = 100."""
RESAMPLED = 200
"""Resamples of a bootstrap: enough for a standard error."""
TAIL = 20
"""How far into the values a bootstrap of a percentile looks, in shares of what lies above it."""
LEAST_REMAINDER = 1e-6
"""Engines give logprobs in single precision: what a list leaves over is never known better than this."""


@dataclass(frozen=True)
class Lists:
    """The likely tokens at n positions. Rows are sorted by falling logprob, ties by token id."""

    ids: Integers
    """[n, w], padded with NO_TOKEN."""
    logprobs: Floats
    """[n, w], padded with -inf."""
    tokens: Integers
    """[n]: the real token."""
    token_logprobs: Floats
    """[n]: its logprob in nats."""

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: slice) -> Lists:
        return Lists(self.ids[rows], self.logprobs[rows], self.tokens[rows], self.token_logprobs[rows])


@dataclass(frozen=True)
class Comparison:
    """Two models at n positions."""

    kl_divergence: Floats
    """[n], in nats, never negative."""
    agreement: Booleans
    """[n]: both rank the same token first."""
    covered: Floats
    """[n]: probability mass of the original that was compared token by token."""


@dataclass(frozen=True)
class Mean:
    """A mean over independent texts."""

    value: float
    standard_error: float
    skewness: float
    """Unbiased skewness of the texts' values."""
    count: int


def covered_mass(lists: Lists) -> Floats:
    """[n]: probability mass that a list holds."""
    mass: Floats = np.exp(lists.logprobs.astype(np.float64)).sum(axis=1)
    return np.minimum(mass, 1.0)


def compare(original: Lists, candidate: Lists, top: int, block: int = BLOCK) -> Comparison:
    """Compare position by position. top: requested length of each list, which may hold the real token besides.

    Raises ValueError if the two have not read the same tokens.
    """
    if len(original) != len(candidate) or not np.array_equal(original.tokens, candidate.tokens):
        raise ValueError("two models are only compared on the same tokens")
    starts = range(0, max(len(original), 1), block)
    parts = [compare_block(original[i : i + block], candidate[i : i + block], top) for i in starts]
    return Comparison(
        np.concatenate([part.kl_divergence for part in parts]),
        np.concatenate([part.agreement for part in parts]),
        np.concatenate([part.covered for part in parts]),
    )


def compare_block(original: Lists, candidate: Lists, top: int) -> Comparison:
    """compare() for a block of positions that fits into memory."""
    p = np.exp(original.logprobs.astype(np.float64))
    listed = original.ids != NO_TOKEN
    q, found = look_up(original.ids, candidate)
    compared = listed & found
    missed = listed & ~found
    p_rest = np.maximum(1.0 - p.sum(axis=1), 0.0)
    # More by the engine's rounding, so that the value stays a lower bound.
    q_left = 1.0 - covered_mass(candidate) + LEAST_REMAINDER
    q_only = np.maximum(covered_mass(candidate) - np.where(compared, q, 0.0).sum(axis=1), 0.0)
    cap = np.exp(candidate.logprobs[:, min(top, candidate.ids.shape[1]) - 1].astype(np.float64))
    # A list shorter than top is the whole vocabulary: nothing is missing from it, and the cap is without meaning.
    cap = np.where(cap > 0, cap, 1.0)
    q_missed, q_rest = spread(np.where(missed, p, 0.0), p_rest, cap, q_left, q_only)
    divergence = (
        _terms(np.where(compared, p, 0.0), np.where(compared, q, 1.0)).sum(axis=1)
        + _terms(np.where(missed, p, 0.0), np.where(missed, q_missed, 1.0)).sum(axis=1)
        + _terms(p_rest, q_rest)
    )
    return Comparison(
        kl_divergence=np.maximum(divergence, 0.0),
        agreement=original.ids[:, 0] == candidate.ids[:, 0],
        covered=np.minimum(np.where(compared, p, 0.0).sum(axis=1), 1.0),
    )


def look_up(ids: Integers, lists: Lists) -> tuple[Floats, Booleans]:
    """The probability that lists give each of ids [n, w], and whether they hold it at all."""
    q = np.zeros(ids.shape, dtype=np.float64)
    found = np.zeros(ids.shape, dtype=np.bool_)
    # Column by column: [n, w, w] would be a hundred times the memory.
    for column in range(lists.ids.shape[1]):
        same = (ids == lists.ids[:, column, None]) & (ids != NO_TOKEN)
        q = np.where(same, np.exp(lists.logprobs[:, column, None].astype(np.float64)), q)
        found |= same
    return q, found


def spread(p_missed: Floats, p_rest: Floats, cap: Floats, left: Floats, only: Floats) -> tuple[Floats, Floats]:
    """Divide what the candidate gives to the missed tokens and to the remainder so that the divergence is smallest.

    p_missed: [n, w], 0 where nothing is missed; p_rest: [n]. left: [n], what the candidate's list leaves over. only:
    [n], what it gives to tokens that only it lists, which belong to the remainder whatever happens. Returns q of the
    missed tokens [n, w], each at most cap [n] and together at most left, and of the remainder [n].
    """
    q_missed, q_rest = water_fill(p_missed, p_rest, cap, left + only)
    # Convex: where the remainder would fall below what is certain to be in it, that is what it gets.
    bound = q_rest < only
    q_bound, _ = water_fill(p_missed, np.zeros_like(p_rest), cap, left)
    return np.where(bound[:, None], q_bound, q_missed), np.where(bound, only, q_rest)


def water_fill(p_missed: Floats, p_rest: Floats, cap: Floats, budget: Floats) -> tuple[Floats, Floats]:
    """q = min(cap, l * p) for the missed tokens and l * p for the remainder, with l so that they sum to budget [n]."""
    capped = np.zeros(p_missed.shape, dtype=np.bool_)
    scale = np.zeros(p_rest.shape, dtype=np.float64)
    # Each round can only add tokens to the capped ones, so there are at most w + 1 rounds.
    for _ in range(p_missed.shape[1] + 1):
        free = np.where(capped, 0.0, p_missed).sum(axis=1) + p_rest
        remaining = np.maximum(budget - capped.sum(axis=1) * cap, LEAST_REMAINDER)
        scale = np.divide(remaining, free, out=np.zeros_like(remaining), where=free > 0)
        now = capped | (p_missed * scale[:, None] > cap[:, None])
        if np.array_equal(now, capped):
            break
        capped = now
    return np.where(capped, cap[:, None], p_missed * scale[:, None]), p_rest * scale


def _terms(p: Floats, q: Floats) -> Floats:
    """p ln(p / q), and 0 where p is 0."""
    positive = p > 0
    ratio = np.divide(p, q, out=np.ones_like(p), where=positive & (q > 0))
    # A probability that fell out of single precision altogether counts as the least that could be seen.
    ratio = np.where(positive & (q <= 0), p / LEAST_REMAINDER, ratio)
    return np.where(positive, p * np.log(np.where(positive, ratio, 1.0)), 0.0)


def text_means(values: npt.NDArray[Any], lengths: Integers) -> Floats:
    """Mean of each text; values [sum of lengths] holds the texts one after another, none of them empty."""
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1])).astype(np.int64)
    sums: Floats = np.add.reduceat(values.astype(np.float64), starts)
    return sums / lengths


def selected_means(values: npt.NDArray[Any], lengths: Integers, selected: Booleans, least: int = 1) -> Floats:
    """Mean of each text over its selected values; NaN where these are fewer than least. selected: as values."""
    counts = text_means(selected, lengths) * lengths
    sums = text_means(np.where(selected, values, 0.0), lengths) * lengths
    found: Floats = np.divide(sums, counts, out=np.full(len(lengths), np.nan), where=counts >= least - 0.5)
    return found


def group_means(values: Floats, groups: Integers) -> Floats:
    """Mean of each group over its values, in the order of the groups' numbers. A value that is NaN is none; a group
    without values is left out. values, groups: [texts]."""
    known = ~np.isnan(values)
    _, places = np.unique(groups[known], return_inverse=True)
    found: Floats = np.bincount(places, values[known]) / np.bincount(places)
    return found


def ratio(values: Floats, others: Floats) -> Mean:
    """Mean of values / mean of others, paired by unit; others have a mean above 0. Its error is to first order."""
    estimate = float(values.mean() / others.mean())
    return mean(estimate + (values - estimate * others) / others.mean())


def percentile(values: Floats, lengths: Integers, groups: Integers, share: float, seed: int) -> Mean:
    """The value that this share of all positions does not exceed, with its error by a bootstrap of the groups.

    values: [positions]. lengths, groups: [texts].
    """
    # The largest values decide: resampled, a percentile lies among TAIL times as many as there are above it.
    order = np.argsort(-values, kind="stable")[: int(TAIL * (1 - share) * len(values)) + 2]
    _, places = np.unique(groups, return_inverse=True)
    owners, count = np.repeat(places, lengths)[order], int(places.max()) + 1
    sizes = np.bincount(places, lengths)
    generator, found = np.random.default_rng(seed), np.empty(RESAMPLED)
    for resample in range(RESAMPLED):
        times = np.bincount(generator.integers(0, count, count), minlength=count)
        above = np.searchsorted(np.cumsum(times[owners]), (1 - share) * float(times @ sizes), side="right")
        found[resample] = values[order[min(int(above), len(order) - 1)]]
    error = float(found.std(ddof=1)) if count > 1 else float("nan")
    return Mean(float(np.quantile(values, share)), error, float("nan"), count)


def mean(values: Floats) -> Mean:
    """Mean over independent texts. The standard error is NaN for a single text, the skewness below three or if all are
    equal.
    """
    count = len(values)
    error = float(np.std(values, ddof=1) / np.sqrt(count)) if count > 1 else float("nan")
    spread = float(np.std(values))
    skewness = float("nan")
    if spread > 0 and count > 2:
        biased = float(np.mean((values - np.mean(values)) ** 3)) / spread**3
        skewness = biased * math.sqrt(count * (count - 1)) / (count - 2)
    return Mean(float(np.mean(values)), error, skewness, count)
