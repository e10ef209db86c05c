"""Members of ModelFacts that follow from a model's configuration."""

from __future__ import annotations

from typing import Any

from lowbit.architecture import mixers
from lowbit.architecture.config import ModelConfig
from lowbit.architecture.expected import dense_width
from lowbit.architecture.layers import caching_layers, experts, window
from lowbit.architecture.positions import Positions, count_positions

DTYPES = {"bfloat16", "float16", "float32"}


def shape_facts(config: ModelConfig) -> dict[str, Any]:
    """Shape, and what the cache of keys and values holds."""
    full, windowed = caching_layers(config)
    text, positions = config.text, positions_of(config)
    return {
        "architecture": config.architecture,
        "model_type": config.model_type,
        "whole_type": str(config.whole.model_type) if config.whole is not config.text else None,
        "hidden_size": int(text.hidden_size),
        "intermediate_size": max(dense_width(config, layer) for layer in range(int(text.num_hidden_layers))),
        "layers": int(text.num_hidden_layers),
        "attention_layers": full,
        "window_layers": windowed,
        "window": window(config) if windowed else None,
        "attention_heads": mixers.heads(config),
        "key_value_heads": mixers.key_value_heads(config),
        "head_dim": mixers.head_dim(config),
        "cache_values": mixers.cache_values(config),
        "cache_heads": 1 if mixers.latent(config) else mixers.key_value_heads(config),
        "experts": experts(config),
        "vocab_size": int(text.vocab_size),
        "max_position_embeddings": positions.longest,
        "default_max_model_len": positions.default if positions.default != positions.longest else None,
        "other_parts": config.other_parts,
    }


def positions_of(config: ModelConfig) -> Positions:
    """How many tokens it reads. read_config has refused a configuration that says none."""
    found = count_positions(config.text.to_dict())
    if found is None:
        raise ValueError(f"the configuration of {config.architecture} says no length")
    return found


def dtype_of(config: ModelConfig) -> str | None:
    """Type of the weights as the configuration names it, without torch's prefix; None if it names none."""
    for part in (config.whole, config.text):
        name = str(getattr(part, "dtype", None) or "").removeprefix("torch.")
        if name in DTYPES:
            return name
    return None


def tied_by_config(config: ModelConfig) -> bool:
    """Whether input and output embedding are one tensor."""
    return bool(getattr(config.whole, "tie_word_embeddings", False))
