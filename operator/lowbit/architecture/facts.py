"""Facts that follow from a model's configuration alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lowbit.api.facts import BYTES_PER_WEIGHT, ModelFacts
from lowbit.architecture import mixers
from lowbit.architecture.config import ModelConfig, read_config
from lowbit.architecture.expected import dense_width, expected_layers, expected_parameters
from lowbit.architecture.layers import caching_layers, experts, window
from lowbit.architecture.layers import mixers as layer_mixers
from lowbit.architecture.positions import count_positions

DTYPES = {"bfloat16", "float16", "float32"}


def shape_facts(config: ModelConfig) -> dict[str, Any]:
    """Shape, and what the cache of keys and values holds."""
    full, windowed = caching_layers(config)
    text, positions = config.text, count_positions(config.text.to_dict())
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
        "state_heads": mixers.state_heads(config) if {"State", "Hybrid"} & set(layer_mixers(config)) else [],
        "experts": experts(config),
        "vocab_size": int(text.vocab_size),
        "max_position_embeddings": positions.longest,
        "default_max_model_len": positions.default if positions.default != positions.longest else None,
        "other_parts": config.other_parts,
    }


def config_facts(content: Mapping[str, Any], what: str) -> ModelFacts:
    """Facts from a parsed config.json, with the number of weights computed. Raises Refused.

    what: the model or the file, for messages.
    """
    config = read_config(content, what)
    dtype, tied = dtype_of(config) or "bfloat16", tied_by_config(config)
    layers = expected_layers(config)
    parameters = expected_parameters(config, layers, tied=tied) if layers is not None else 0
    return ModelFacts(
        **shape_facts(config),
        linear=layers or [],
        dtype=dtype,
        tied_embeddings=tied,
        parameters=parameters,
        weight_bytes=parameters * BYTES_PER_WEIGHT.get(dtype, 2),
        tokenizer="",
        chat_template=False,
        quantized=quantization_of(content),
    )


def quantization_of(config: Mapping[str, Any]) -> str | None:
    """The method of a quantization_config, wherever in a config it stands: models of several parts nest it."""
    found = config.get("quantization_config") or config.get("compression_config")
    if isinstance(found, Mapping):
        return str(found.get("quant_method") or found.get("quant_algo") or "unknown")
    parts = (quantization_of(part) for part in config.values() if isinstance(part, Mapping))
    return next((method for method in parts if method is not None), None)


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
