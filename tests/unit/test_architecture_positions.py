"""Positions as vLLM 0.32 and 0.33 count them; the expected numbers are those of their _get_and_verify_max_len."""

from __future__ import annotations

from typing import Any

import pytest

from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.architecture.positions import Positions, count_positions
from lowbit.cli.facts import facts_of
from lowbit.resolve.checks import check_lengths
from tests.unit.worker_inputs import CONFIG
from tests.unit.world import FACTS, spec

LONG: dict[str, Any] = {"short_factor": [1.0], "long_factor": [2.0]}
COUNTED: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "plain": ({}, (8192, 8192)),
    "no scaling": ({"rope_scaling": None}, (8192, 8192)),
    "linear": ({"rope_scaling": {"type": "linear", "factor": 4.0}}, (32768, 32768)),
    "dynamic": ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, (16384, 16384)),
    "as transformers 5 writes it": ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, (16384, 16384)),
    "half a position": ({"rope_scaling": {"type": "linear", "factor": 1.00009}}, (8192, 8192)),
    "yarn": (
        {"rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}}, (8192, 8192),
    ),
    "llama3": ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, (8192, 8192)),
    "longrope": (
        {"rope_scaling": {"type": "longrope", **LONG}, "original_max_position_embeddings": 4096}, (8192, 4096),
    ),
    "longrope's old name": (
        {"rope_scaling": {"type": "su", **LONG}, "original_max_position_embeddings": 4096}, (8192, 4096),
    ),
    "longrope that says its length within": (
        {"rope_scaling": {"type": "longrope", **LONG, "original_max_position_embeddings": 4096}}, (8192, 8192),
    ),
    "an original length without longrope": ({"original_max_position_embeddings": 4096}, (8192, 8192)),
    "multimodal": ({"rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}}, (8192, 8192)),
    "no factor": ({"rope_scaling": {"rope_type": "default", "factor": None}}, (8192, 8192)),
    "gemma 3": ({"model_type": "gemma3_text", "rope_scaling": {"type": "linear", "factor": 8.0}}, (8192, 8192)),
    "by kind of layer": (
        {"rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 2.0},
            "sliding_attention": {"rope_type": "default"},
        }},
        (16384, 16384),
    ),
    "the shortest": ({"n_positions": 1024}, (1024, 1024)),
    "its own word on it": ({"model_max_length": 20000}, (20000, 20000)),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTED)
def test_positions_are_counted_as_the_engine_does(name: str) -> None:
    more, (longest, default) = COUNTED[name]
    assert count_positions({"max_position_embeddings": 8192, **more}) == Positions(longest, default)


def test_a_config_without_a_length_allows_any_and_2048_if_nobody_asks() -> None:
    assert count_positions({"hidden_size": 64}) == (10_000_000, 2048)


def test_a_models_facts_have_them() -> None:
    rope = {"rope_type": "longrope", **LONG}
    found = facts_of({**CONFIG, "rope_scaling": rope, "original_max_position_embeddings": 128})
    assert (found.max_position_embeddings, found.default_max_model_len) == (512, 128)
    found = facts_of({**CONFIG, "rope_scaling": {"type": "dynamic", "factor": 2.0}})
    assert (found.max_position_embeddings, found.default_max_model_len) == (1024, None)


def test_texts_have_to_fit_what_the_engine_takes_by_default() -> None:
    """A model with longrope is served in its original length, unless the manifest asks for more."""
    facts = FACTS.model_copy(update={"max_position_embeddings": 8192, "default_max_model_len": 256})
    texts = QuantizedModelSpec.model_validate(spec())
    (problem,) = check_lengths(texts, facts)
    assert problem.reason == "TooLong"
    assert "use at most 255, or raise spec.engine.vllm.maxModelLen" in problem.action
    longer = QuantizedModelSpec.model_validate(spec(engine={"vllm": {"maxModelLen": 8192}}))
    assert check_lengths(longer, facts) == []
