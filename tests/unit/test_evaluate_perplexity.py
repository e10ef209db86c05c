"""Perplexity on running text: in chunks, with llama-perplexity's error for a model alone, by article in a gate."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.api.documents import EvaluateResult
from lowbit.api.evaluation import MaximumThreshold, ResolvedGate, ResolvedSuite
from lowbit.gate import judge
from lowbit.naming.store_keys import report_key, samples_key
from lowbit.worker.refuse import RefusalError
from lowbit.worker.suites import RUNNERS
from lowbit.worker.suites.chunks import beginning
from lowbit.worker.suites.perplexity_report import place_of
from lowbit.worker.suites.perplexity_samples import ChunkSamples, over_articles, over_chunks, over_tokens, pack, unpack
from tests.unit.evaluation_bench import CANDIDATE, ORIGINAL, Bench, make_bench, make_dataset, of_suites, value_of, words
from tests.unit.fake_engine import FakeEngine, damaged

bench = pytest.fixture(make_bench)


def suite_of(bench: Bench, **changes: Any) -> ResolvedSuite:
    settings = {"dataset": bench.dataset, "format": "Auto", "samples": 200, "max_tokens": 40, "chunks": 8, **changes}
    return ResolvedSuite.model_validate({"name": "wiki", "version": 1, "perplexity": settings})


async def measured(bench: Bench, candidate: FakeEngine, **changes: Any) -> tuple[EvaluateResult, EvaluateResult]:
    """The original's result and the candidate's."""
    protocol = bench.protocol().model_copy(update={"suites": [suite_of(bench, **changes)]})
    one = await bench.run(FakeEngine(ORIGINAL), bench.document(protocol))
    return one, await bench.run(candidate, bench.document(protocol, baseline="baseline-1"))


def samples_of(bench: Bench, name: str) -> ChunkSamples:
    data = bench.store.read(samples_key(bench.stored(name).suites["wiki"])) or b""
    with np.load(io.BytesIO(data)) as arrays:
        samples: ChunkSamples = RUNNERS["perplexity"].unpack(arrays, suite_of(bench).member()[1])
    return samples


def articles(bench: Bench, tmp_path: Path, count: int, tokens: int = 100) -> list[str]:
    generator = np.random.default_rng(11)
    texts = [words(generator, tokens) for _ in range(count)]
    bench.dataset = make_dataset(bench.store, tmp_path, [{"text": text} for text in texts])
    return texts


async def test_a_model_alone_has_the_perplexity_and_the_error_that_llama_perplexity_prints(
    bench: Bench, tmp_path: Path
) -> None:
    """The sums of tools/perplexity/perplexity.cpp, token by token."""
    texts = articles(bench, tmp_path, 6)
    original, _ = await measured(bench, FakeEngine(CANDIDATE))
    nll = nll2 = 0.0
    count = 0
    for text in texts:
        tokens = [int(word[1:]) for word in text.split()]
        for start in range(0, 80, 40):
            chunk, first = tokens[start : start + 40], 40 // 2
            for at in range(first, 40 - 1):
                loss = -ORIGINAL[chunk[at], chunk[at + 1]]
                nll, nll2, count = nll + loss, nll2 + loss * loss, count + 1
    nll, nll2 = nll / count, nll2 / count
    ppl, error = np.exp(nll), np.exp(nll) * ((nll2 - nll * nll) / (count - 1)) ** 0.5
    page = (bench.store.read(report_key("baseline-1")) or b"").decode()
    assert f"{ppl:.2f}" in page
    assert f"± {error:.4f}" in page
    (row,) = of_suites(original)
    assert row.mean is not None
    assert np.exp(float(row.mean.value)) == pytest.approx(ppl, rel=1e-4)
    assert np.exp(float(row.mean.value)) * float(row.mean.standard_error) == pytest.approx(error, rel=1e-4)
    assert row.count == 12, "chunks: the last 20 tokens of an article are too few"


async def test_the_ratio_is_paired_by_article_and_its_count_is_named(bench: Bench, tmp_path: Path) -> None:
    articles(bench, tmp_path, 160)
    _, candidate = await measured(bench, FakeEngine(CANDIDATE), max_tokens=100)
    one, other = samples_of(bench, "baseline-1"), samples_of(bench, "eval-1")
    assert value_of(candidate, "PerplexityRatio") == pytest.approx(
        (other.by_article() - one.by_article()).mean(), rel=1e-4
    )
    gate = ResolvedGate(
        suite="wiki", maximum=[MaximumThreshold(metric="PerplexityRatio", value="1.01")], minimum=[], confidence="0.95"
    )
    verdict = judge([gate], candidate.summary, 1, 1, "2026-01-01T00:00:00Z")
    assert verdict.verdict == "Failed"
    ratio = next(row for row in candidate.summary.measurements if row.metric == "PerplexityRatio")
    assert ratio.count == 160


async def test_chunks_of_one_document_are_one_article(bench: Bench, tmp_path: Path) -> None:
    generator = np.random.default_rng(12)
    lines = [{"text": words(generator, 50), "group": number // 3} for number in range(12)]
    bench.dataset = make_dataset(bench.store, tmp_path, lines)
    _, candidate = await measured(bench, FakeEngine(CANDIDATE))
    ratio = next(row for row in candidate.summary.measurements if row.metric == "PerplexityRatio")
    assert ratio.count == 4
    assert len(samples_of(bench, "eval-1").chunks) == 12, (
        "lines follow one another: 150 tokens are three chunks, and 30 tokens too few"
    )


async def test_of_a_long_article_only_the_first_chunks_are_read(bench: Bench, tmp_path: Path) -> None:
    articles(bench, tmp_path, 4, tokens=400)
    await measured(bench, FakeEngine(CANDIDATE), chunks=3)
    samples = samples_of(bench, "baseline-1")
    assert np.bincount(samples.articles).tolist() == [3, 3, 3, 3]
    assert {len(chunk) for chunk in samples.chunks} == {40}


async def test_the_report_shows_the_honest_errors_beside_it(bench: Bench, tmp_path: Path) -> None:
    articles(bench, tmp_path, 5)
    await measured(bench, FakeEngine(CANDIDATE))
    page = (bench.store.read(report_key("eval-1")) or b"").decode()
    for words_ in ("Error over tokens, as llama-perplexity", "Error over chunks", "Error over articles", "5 articles"):
        assert words_ in page


async def test_too_few_articles_are_refused(bench: Bench, tmp_path: Path) -> None:
    bench.dataset = make_dataset(bench.store, tmp_path, [{"text": words(np.random.default_rng(1), 400)}])
    with pytest.raises(RefusalError, match="has 1 articles of at least 34 tokens") as refused:
        await measured(bench, FakeEngine(CANDIDATE))
    assert refused.value.refusal.reason == "TooFewTexts"


async def test_a_model_that_answers_nan_fails(bench: Bench, tmp_path: Path) -> None:
    articles(bench, tmp_path, 4)
    _, candidate = await measured(bench, FakeEngine(np.full_like(ORIGINAL, np.nan)))
    assert all(row.not_finite > 0 for row in of_suites(candidate))
    maximum = [MaximumThreshold(metric="PerplexityRatio", value="9")]
    gate = ResolvedGate(suite="wiki", maximum=maximum, minimum=[], confidence="0.95")
    assert judge([gate], candidate.summary, 1, 1, "2026-01-01T00:00:00Z").verdict == "Failed"


async def test_the_worst_articles_come_first_with_the_token_that_was_lost(bench: Bench, tmp_path: Path) -> None:
    articles(bench, tmp_path, 5)
    await measured(bench, FakeEngine(damaged(ORIGINAL, 1.0)))
    sides = samples_of(bench, "eval-1"), samples_of(bench, "baseline-1")
    found = RUNNERS["perplexity"].summarize("wiki", *sides).samples  # type: ignore[attr-defined]
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        last, token = int(one.prompt.split()[-1][1:]), int(one.expected[1:])
        assert one.original == f"probability {np.exp(ORIGINAL[last, token]):.2g}"


@given(
    whole=st.lists(st.integers(0, 5), max_size=8), begin=st.lists(st.integers(6, 7), max_size=2),
    end=st.lists(st.integers(8, 9), max_size=1),
)  # fmt: skip
def test_the_special_tokens_before_a_text_are_found(whole: list[int], begin: list[int], end: list[int]) -> None:
    assert beginning(begin + whole + end, whole) == (begin if whole else [])


@given(
    lengths=st.lists(st.integers(34, 60), min_size=2, max_size=12), seed=st.integers(0, 100), parts=st.integers(1, 4)
)
def test_the_three_errors_are_of_one_value_and_every_scored_token_is_found_again(
    lengths: list[int], seed: int, parts: int
) -> None:
    generator = np.random.default_rng(seed)
    chunks = [generator.integers(0, 99, length).tolist() for length in lengths]
    articles = np.arange(len(chunks)) // parts
    logprobs = -generator.exponential(2.0, sum(lengths) - len(lengths)).astype(np.float32)
    samples = ChunkSamples(chunks, articles, logprobs, (len(chunks), 0))
    values = {of(samples).value for of in (over_tokens, over_chunks, over_articles)}
    assert values == {samples.losses.mean()}
    assert samples.scored.tolist() == [length - length // 2 - 1 for length in lengths]
    means = samples.by_article()
    weights = np.bincount(articles, samples.scored)
    assert (means * weights).sum() / weights.sum() == pytest.approx(samples.losses.mean())
    again = unpack(pack(samples))
    assert again.chunks == samples.chunks
    assert np.array_equal(again.losses, samples.losses)
    starts = np.cumsum(samples.read) - samples.read
    for scored in (0, len(samples.losses) // 2, len(samples.losses) - 1):
        chunk, at = place_of(samples, scored)
        assert samples.rows[scored] == starts[chunk] + at - 1
        assert lengths[chunk] // 2 < at < lengths[chunk]


@given(seed=st.integers(0, 50), articles=st.integers(8, 20))
def test_tokens_of_one_article_that_are_alike_make_the_error_over_articles_larger(seed: int, articles: int) -> None:
    """Which is why a gate counts articles: the error over tokens is that of tokens that know nothing of each other."""
    generator = np.random.default_rng(seed)
    chunks = [generator.integers(0, 99, 60).tolist() for _ in range(articles * 3)]
    owners = np.repeat(np.arange(articles), 3)
    level = np.repeat(generator.normal(3.0, 1.0, articles), 3 * 59)
    samples = ChunkSamples(chunks, owners, -level.astype(np.float32), (articles, 0))
    assert over_articles(samples).standard_error > over_chunks(samples).standard_error > 0
    assert over_articles(samples).standard_error > 3 * over_tokens(samples).standard_error
