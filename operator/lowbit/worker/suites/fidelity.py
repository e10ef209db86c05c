"""Teacher forcing: the engine reads held-out texts, and returns logprobs of every token and of the likeliest others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.api.status import MeanStatistics, Measurement
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
from lowbit.worker.suites.base import Arrays, Ask, Section, SeparateRunner, Summary
from lowbit.worker.suites.measurement import measurement
from lowbit.worker.suites.scoring import NO_TOKEN, Lists
from lowbit.worker.suites.texts import LEAST_TOKENS, Texts, draw
from lowbit.worker.together import together

LEAST_TEXTS = 2
"""One text has no standard error."""


@dataclass(frozen=True)
class LeftOut:
    """Counts of a dataset: its lines, and those that are no samples."""

    lines: int
    duplicates: int
    short: int
    grouped: int = 0


@dataclass(frozen=True)
class SuiteSamples:
    """Samples of one model and one suite."""

    texts: list[list[int]]
    """Token ids; the first token of each is read but not scored."""
    top: int
    """Number of likely tokens that were requested at each position."""
    lists: Lists
    """Lists of all scored positions, text after text."""
    left_out: LeftOut
    """What the dataset had besides."""

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
            read = Texts(what, dataset, settings.format, settings.dataset)
            drawn = await draw(ask.client, read, settings.samples, cut_at(settings, ask.room))
            texts, left_out = (
                enough(drawn.texts, ask.suite),
                LeftOut(drawn.lines, drawn.duplicates, drawn.short, drawn.grouped),
            )
        else:
            texts, left_out = original.texts, original.left_out
        lists = await read_all(ask.client, texts, settings.top_logprobs, ask.progress)
        return SuiteSamples(texts, settings.top_logprobs, lists, left_out)

    def summarize(self, suite: str, samples: SuiteSamples, original: SuiteSamples | None) -> Summary:
        """The measurements; on a baseline only those that need no comparison."""
        broken = not_finite(samples, original)
        if broken:
            return unusable(suite, broken, samples)
        rows = Rows(suite, samples.lengths)
        if original is None:
            covered = scoring.covered_mass(samples.lists)
            measured = [rows.of(PERPLEXITY, -samples.lists.token_logprobs), rows.of(COVERED_MASS, covered)]
            return Summary(measured, sections=[texts_section(suite, samples)])
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
                texts_section(suite, samples),
            ],
        )

    def pack(self, samples: SuiteSamples) -> Arrays:
        """Arrays: tokens [all tokens], lengths [texts], ids and logprobs [positions, w], tokenLogprobs [positions],
        leftOut [4], by an older Lowbit [3].

        Positions are the scored ones: every token but the first of each text.
        """
        return {
            "tokens": np.array([token for text in samples.texts for token in text], dtype=np.int32),
            "lengths": np.array([len(text) for text in samples.texts], dtype=np.int32),
            "ids": samples.lists.ids,
            "logprobs": samples.lists.logprobs,
            "tokenLogprobs": samples.lists.token_logprobs,
            "leftOut": np.array(astuple(samples.left_out), dtype=np.int64),
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
        return SuiteSamples(texts, settings.top_logprobs, lists, LeftOut(*arrays["leftOut"].tolist()))

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


def not_finite(samples: SuiteSamples, original: SuiteSamples | None) -> int:
    """Tokens for which a model gave no finite logprob."""
    sides = [samples] if original is None else [samples, original]
    broken = [~np.isfinite(side.lists.token_logprobs) for side in sides]
    return int(np.logical_or.reduce(broken).sum())


def unusable(suite: str, broken: int, samples: SuiteSamples) -> Summary:
    """No number of the suite counts: a model that answers NaN is not near to anything."""
    nothing = MeanStatistics(value="NaN", standard_error="NaN")
    metrics = (KL_DIVERGENCE, TOP1_AGREEMENT, PERPLEXITY_RATIO, PERPLEXITY, COVERED_MASS)
    rows = [
        Measurement(suite=suite, metric=metric.name, count=len(samples.texts), not_finite=broken, mean=nothing)
        for metric in metrics
    ]
    text = f"{broken} of {len(samples.lists)} tokens have no finite log probability (NaN or infinite)."
    return Summary(rows, sections=[Section(f"Not finite: {suite}", text), texts_section(suite, samples)])


def texts_section(suite: str, samples: SuiteSamples) -> Section:
    """Which lines of the dataset were measured."""
    left_out = samples.left_out
    rows = [
        ("Lines of the dataset", str(left_out.lines)),
        ("Equal to another, but for white space and Unicode", str(left_out.duplicates)),
        ("Of a group of which another one was taken", str(left_out.grouped)),
        (f"Of fewer than {LEAST_TOKENS} tokens", str(left_out.short)),
        ("Measured: independent texts", str(len(samples.texts))),
    ]
    text = "Lines are drawn by a seeded shuffle, until there are as many texts as the suite asks for."
    return Section(f"Texts: {suite}", text, header=("", "Texts"), rows=rows)


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


async def read_all(client: EngineClient, texts: list[list[int]], top: int, progress: Progress) -> Lists:
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

    return join(await together(read(text) for text in texts))


def parse(text: Sequence[int], positions: Sequence[Logprobs], top: int) -> Lists:
    """The lists of one text, from the logprobs at each token but the first; NaN where they are not finite.

    Raises EngineError if the token itself is not among them.
    """
    scored = len(text) - 1
    ids = np.full((scored, top + 1), NO_TOKEN, dtype=np.int32)
    logprobs = np.full((scored, top + 1), -np.inf, dtype=np.float32)
    token_logprobs = np.zeros(scored, dtype=np.float32)
    for row, (token, likely) in enumerate(zip(text[1:], positions, strict=True)):
        if not all(map(isfinite, likely.values())):
            token_logprobs[row] = np.nan  # one that is not finite makes all of a softmax worthless
            continue
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
