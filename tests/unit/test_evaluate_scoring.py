"""What lists of likely tokens tell about the distance of two distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.worker.suites import scoring
from lowbit.worker.suites.reading import parse
from lowbit.worker.suites.scoring import Lists
from tests.unit.fake_engine import VOCABULARY, FakeEngine, Matrix, damaged, distribution, log_softmax


def lists(logprobs: Matrix, text: list[int], top: int) -> Lists:
    positions = FakeEngine(logprobs).prompt_logprobs(text, top)[1:]
    read = [{int(token): value["logprob"] for token, value in entry.items()} for entry in positions]
    return parse(text, read, top)


def exact(original: Matrix, candidate: Matrix, text: list[int]) -> Any:
    """KL at every scored position."""
    rows = text[:-1]
    return (np.exp(original[rows]) * (original[rows] - candidate[rows])).sum(axis=1)


texts = st.lists(st.integers(0, VOCABULARY - 1), min_size=2, max_size=40)
seeds = st.integers(0, 1000)


@given(text=texts, seed=seeds, noise=st.floats(0, 4))
def test_with_the_whole_vocabulary_the_divergence_is_exact(text: list[int], seed: int, noise: float) -> None:
    original = distribution(seed)
    candidate = damaged(original, noise, seed + 1)
    found = scoring.compare(lists(original, text, VOCABULARY), lists(candidate, text, VOCABULARY), VOCABULARY)
    np.testing.assert_allclose(found.kl_divergence, exact(original, candidate, text), rtol=1e-4, atol=2e-6)
    np.testing.assert_allclose(found.covered, 1, atol=1e-5)
    same = original[text[:-1]].argmax(axis=1) == candidate[text[:-1]].argmax(axis=1)
    assert (found.agreement == same).all()


@given(text=texts, seed=seeds, noise=st.floats(0, 6), top=st.integers(1, VOCABULARY))
@settings(max_examples=200)
def test_the_divergence_is_never_more_than_the_true_one(text: list[int], seed: int, noise: float, top: int) -> None:
    original = distribution(seed)
    candidate = damaged(original, noise, seed + 1)
    found = scoring.compare(lists(original, text, top), lists(candidate, text, top), top)
    assert (found.kl_divergence >= 0).all()
    assert (found.kl_divergence <= exact(original, candidate, text) * 1.0001 + 1e-5).all()
    assert ((found.covered >= 0) & (found.covered <= 1)).all()


@given(text=texts, seed=seeds, top=st.integers(1, VOCABULARY))
def test_a_model_has_no_divergence_from_itself(text: list[int], seed: int, top: int) -> None:
    one = lists(distribution(seed), text, top)
    found = scoring.compare(one, one, top)
    assert found.kl_divergence.max() < 1e-5
    assert found.agreement.all()


@given(
    p=st.lists(st.floats(1e-6, 1), min_size=1, max_size=8), rest=st.floats(1e-6, 1), cap=st.floats(1e-4, 0.2),
    left=st.floats(1e-3, 1), only=st.floats(0, 1),
)  # fmt: skip
def test_no_other_division_of_what_is_left_over_is_nearer(
    p: list[float], rest: float, cap: float, left: float, only: float
) -> None:
    total = sum(p) + rest
    missed, p_rest = np.array([p]) / total, np.array([rest / total])
    q, q_rest = scoring.spread(missed, p_rest, np.array([cap]), np.array([left]), np.array([only]))
    assert (q <= cap * (1 + 1e-9)).all()
    assert q.sum() <= left * (1 + 1e-6)
    assert q_rest[0] >= only * (1 - 1e-9)
    assert q.sum() + q_rest[0] <= (left + only) * (1 + 1e-6)

    def divergence(q: Any, q_rest: Any) -> float:
        with np.errstate(divide="ignore"):  # infinitely far is a fair answer for a worse division
            return float((missed * np.log(missed / q)).sum() + (p_rest * np.log(p_rest / q_rest)).sum())

    best = divergence(q, q_rest)
    generator = np.random.default_rng(0)
    for _ in range(50):
        other = np.minimum(q * generator.uniform(0.5, 1.5, q.shape), cap)
        if other.sum() <= left:
            assert best <= divergence(other, np.array([left + only - other.sum()])) + 1e-6


def test_a_favourite_that_the_candidate_has_lost_is_seen_in_few_tokens() -> None:
    """Thrown into one bucket with the rest, it would look harmless."""
    logits = np.zeros((VOCABULARY, VOCABULARY))
    logits[:, 0] = 6
    original = log_softmax(logits)
    logits[:, 0] = -6
    candidate = log_softmax(logits)
    found = scoring.compare(lists(original, [1, 2], 5), lists(candidate, [1, 2], 5), 5)
    assert found.kl_divergence[0] > 2.0
    assert found.kl_divergence[0] <= exact(original, candidate, [1, 2])[0]
    assert not found.agreement[0]


def test_more_tokens_in_the_lists_only_bring_the_value_nearer() -> None:
    original = distribution(3)
    candidate = damaged(original, 1.0)
    text = list(range(VOCABULARY))
    means = [
        scoring.compare(lists(original, text, top), lists(candidate, text, top), top).kl_divergence.mean()
        for top in (1, 2, 5, 10, 20, VOCABULARY)
    ]
    assert means == sorted(means)
    assert means[4] == pytest.approx(means[5], rel=0.15)


@given(text=texts, seed=seeds, block=st.integers(1, 50))
def test_what_is_compared_in_blocks_comes_out_the_same(text: list[int], seed: int, block: int) -> None:
    one, other = (lists(distribution(seed + i), text, 10) for i in (0, 1))
    whole, parts = scoring.compare(one, other, 10), scoring.compare(one, other, 10, block)
    assert whole.kl_divergence.tolist() == parts.kl_divergence.tolist()
    assert whole.agreement.tolist() == parts.agreement.tolist()
    assert whole.covered.tolist() == parts.covered.tolist()


def test_models_that_read_different_tokens_are_not_compared() -> None:
    one, other = lists(distribution(1), [1, 2, 3], 5), lists(distribution(1), [1, 2, 4], 5)
    with pytest.raises(ValueError, match="same tokens"):
        scoring.compare(one, other, 5)


def test_the_standard_error_counts_texts_and_not_tokens() -> None:
    """A token that is written ten times in its text tells nothing new."""
    values = np.array([1.0, 3.0, 2.0, 4.0])
    few = scoring.mean(scoring.text_means(values, np.array([1, 1, 1, 1])))
    many = scoring.mean(scoring.text_means(np.repeat(values, 10), np.array([10, 10, 10, 10])))
    assert many == few
    assert few.standard_error == pytest.approx(values.std(ddof=1) / 2)


def test_texts_of_all_lengths_have_their_own_means() -> None:
    means = scoring.text_means(np.array([1.0, 2.0, 3.0, 10.0]), np.array([3, 1]))
    assert means.tolist() == [2.0, 10.0]


def test_skewness_is_the_third_moment_in_deviations() -> None:
    values = np.array([0.0, 0.0, 0.0, 4.0])
    biased = ((values - 1) ** 3).mean() / values.std() ** 3
    assert scoring.mean(values).skewness == pytest.approx(biased * 12**0.5 / 2), "unbiased for four texts"
    assert np.isnan(scoring.mean(np.array([2.0, 2.0])).skewness), "a constant has none"
