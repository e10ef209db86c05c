"""What a config.json says of a model's shape, and the number of weights that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lowbit.api.facts import ModelFacts

BYTES_PER_WEIGHT: Final = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class LayerWeights:
    """Weights of one decoder layer, in elements."""

    linear: int
    """In the linear layers that are quantized."""
    linear_rows: int
    """Sum of the input channels of those layers: each has one int32 group index."""
    other: int
    """In the norms."""


def shape(config: Mapping[str, Any]) -> dict[str, Any]:
    """Members of ModelFacts that follow from the config alone. Raises KeyError if it is not a decoder's."""
    heads = int(config["num_attention_heads"])
    return {
        "architecture": config["architectures"][0],
        "model_type": config["model_type"],
        "hidden_size": config["hidden_size"],
        "intermediate_size": config["intermediate_size"],
        "layers": config["num_hidden_layers"],
        "attention_heads": heads,
        "key_value_heads": config.get("num_key_value_heads") or heads,
        "head_dim": config.get("head_dim") or config["hidden_size"] // heads,
        "vocab_size": config["vocab_size"],
        "max_position_embeddings": config["max_position_embeddings"],
    }


def layer_weights(facts: ModelFacts) -> LayerWeights:
    """Weights of a decoder layer with grouped attention and a gated MLP (Llama, Qwen, Mistral)."""
    hidden, intermediate = facts.hidden_size, facts.intermediate_size
    attention = facts.attention_heads * facts.head_dim
    key_value = facts.key_value_heads * facts.head_dim
    return LayerWeights(
        linear=hidden * (attention + 2 * key_value) + attention * hidden + 3 * hidden * intermediate,
        linear_rows=3 * hidden + attention + 2 * hidden + intermediate,
        other=2 * hidden,
    )


def embedding_weights(facts: ModelFacts) -> int:
    """Weights of the input embedding and, unless it is tied, of the output layer."""
    return facts.vocab_size * facts.hidden_size * (1 if facts.tied_embeddings else 2)
