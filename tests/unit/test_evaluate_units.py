"""Means, groups, slices and percentiles over tokens; and how a model is led along an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.worker.engines.base import Decoded, EngineClient, Sampling
from lowbit.worker.suites import fidelity_answers, scoring
from lowbit.worker.suites.fidelity_answers import Engine
from lowbit.worker.suites.fidelity_floor import distance
from lowbit.worker.suites.fidelity_rows import LEAST_IN_SLICE, Rows
from lowbit.worker.suites.reading import parse
from tests.unit.fake_engine import VOCABULARY, FakeEngine, Matrix, damaged, distribution

lengths_of = st.lists(st.integers(1, 400), min_size=2, max_size=8)
seeds = st.integers(0, 1000)


def drawn(lengths: list[int], seed: int) -> Any:
    return np.random.default_rng(seed).exponential(1.0, sum(lengths))


@given(lengths=lengths_of, seed=seeds)
def test_texts_that_are_their_own_groups_are_not_changed(lengths: list[int], seed: int) -> None:
    """So no number is another where a dataset names no groups."""
    means = scoring.text_means(drawn(lengths, seed), np.array(lengths))
    assert scoring.group_means(means, np.arange(len(lengths))).tolist() == means.tolist()


@given(lengths=lengths_of, seed=seeds, groups=st.data())
def test_a_group_is_the_mean_of_its_texts(lengths: list[int], seed: int, groups: Any) -> None:
    numbers = np.array(groups.draw(st.lists(st.integers(0, 3), min_size=len(lengths), max_size=len(lengths))))
    means = scoring.text_means(drawn(lengths, seed), np.array(lengths))
    expected = [means[numbers == group].mean() for group in sorted(set(numbers.tolist()))]
    assert scoring.group_means(means, numbers) == pytest.approx(expected)


@given(lengths=lengths_of, seed=seeds, share=st.floats(0.5, 0.999))
@settings(max_examples=15)
def test_a_percentile_lies_among_the_values_and_rises_with_its_share(
    lengths: list[int], seed: int, share: float
) -> None:
    values, groups = drawn(lengths, seed), np.arange(len(lengths))
    found = scoring.percentile(values, np.array(lengths), groups, share, 0)
    assert values.min() <= found.value <= values.max()
    assert scoring.percentile(values, np.array(lengths), groups, 1.0, 0).value == values.max()
    assert found.value <= scoring.percentile(values, np.array(lengths), groups, (1 + share) / 2, 0).value
    again = scoring.percentile(values, np.array(lengths), groups, share, 0)
    assert again.standard_error == found.standard_error, "the same samples, the same error"
    assert found.count == len(lengths)


def test_the_error_of_a_percentile_is_that_of_drawing_texts_again() -> None:
    generator = np.random.default_rng(7)
    lengths, errors = np.full(100, 50), []
    for _ in range(60):
        errors.append(np.quantile(generator.exponential(1.0, 5000), 0.99))
    found = [scoring.percentile(generator.exponential(1.0, 5000), lengths, np.arange(100), 0.99, n) for n in range(5)]
    assert np.mean([each.standard_error for each in found]) == pytest.approx(np.std(errors), rel=0.35)


@given(values=st.lists(st.floats(0.1, 9), min_size=3, max_size=20), factor=st.floats(0.5, 50))
def test_a_ratio_of_equals_is_their_factor_without_error(values: list[float], factor: float) -> None:
    others = np.array(values)
    found = scoring.ratio(others * factor, others)
    assert found.value == pytest.approx(factor)
    assert found.standard_error == pytest.approx(0, abs=1e-9 * factor)


@given(lengths=st.lists(st.integers(20, 700), min_size=2, max_size=6), seed=seeds)
@settings(max_examples=30)
def test_damage_behind_a_position_is_in_no_slice_before_it(lengths: list[int], seed: int) -> None:
    rows = Rows("fidelity", np.array(lengths), np.arange(len(lengths)))
    before = np.concatenate([np.arange(1, length + 1) for length in lengths])
    values = drawn(lengths, seed)
    worse = np.where(before > 256, values + 10, values)
    slices = {slice_.name: selected for slice_, selected in rows.by_length()}
    for name, selected in slices.items():
        first, second = rows.units(values, selected), rows.units(worse, selected)
        assert second == pytest.approx(first + (10 if name != "0-256" else 0))
    reached = sum(length - 256 >= LEAST_IN_SLICE for length in lengths)
    assert ("256-1k" in slices) == (reached >= 2)
    assert sum(int(selected.sum()) for selected in slices.values()) <= sum(lengths)


class Generating:
    """A client whose model's distribution is known: the one after each token, from its decode kernels another."""

    def __init__(self, read: Matrix, decoding: Matrix) -> None:
        self.engine, self.requests = FakeEngine(read, decoding=decoding), 0

    async def decode(self, prompt: Sequence[int], sampling: Sampling, top: int) -> Decoded | None:
        self.requests += 1
        tokens, rows = self.engine.generate(list(prompt), sampling.output_tokens)
        return Decoded(tokens, [self.engine.top(row, top, token) for token, row in zip(tokens, rows, strict=True)])


@settings(max_examples=30)
@given(
    prompt=st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=4),
    answer=st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=20), seed=seeds,
)  # fmt: skip
def test_whatever_a_model_would_say_it_is_led_along_the_answer(prompt: list[int], answer: list[int], seed: int) -> None:
    read = distribution(seed)
    client = Generating(read, damaged(read, 0.5, seed + 1))
    engine = Engine(cast("EngineClient", client), 20, lambda: None)
    found, by_decode = asyncio.run(fidelity_answers.follow(engine, prompt, answer))
    assert len(found) == len(by_decode) == len(answer)
    assert not by_decode[0], "the first token of a request comes from prefill kernels"
    before = [prompt[-1], *answer[:-1]]
    for last, likely, decoded in zip(before, found, by_decode, strict=True):
        row = (client.engine.decoding if decoded else read)[last]  # type: ignore[index]
        assert max(likely, key=likely.__getitem__) == row.argmax(), "behind the very prefix of the answer"
    assert client.requests <= len(answer)


@settings(max_examples=30)
@given(prompt=st.integers(0, VOCABULARY - 1), count=st.integers(1, 20), seed=seeds)
def test_a_model_that_says_the_same_needs_one_request(prompt: int, count: int, seed: int) -> None:
    read = distribution(seed)
    client = Generating(read, read)
    answer, _ = client.engine.generate([prompt], count)
    engine = Engine(cast("EngineClient", client), 20, lambda: None)
    _, by_decode = asyncio.run(fidelity_answers.follow(engine, [prompt], answer))
    assert client.requests == 1
    assert by_decode == [False] + [True] * (count - 1)


@settings(max_examples=30)
@given(text=st.lists(st.integers(0, VOCABULARY - 1), min_size=2, max_size=30), seed=seeds)
def test_an_engine_that_gives_the_very_numbers_again_has_a_distance_of_exactly_0(text: list[int], seed: int) -> None:
    def read(logprobs: Matrix) -> Any:
        positions = FakeEngine(logprobs).prompt_logprobs(text, 5)[1:]
        return parse(text, [{int(k): v["logprob"] for k, v in entry.items()} for entry in positions], 5)

    first = read(distribution(seed))
    assert distance(first, read(distribution(seed)), 5).tolist() == [0.0] * (len(text) - 1)
    assert distance(first, read(damaged(distribution(seed), 0.1)), 5).max() > 0
