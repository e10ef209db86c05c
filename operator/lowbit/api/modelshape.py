"""What a config.json says of a model's shape: read in one place, for prepare and for `lowbit plan`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def shape(config: Mapping[str, Any]) -> dict[str, Any]:
    """Members of ModelFacts that follow from the config alone. Raises KeyError where it is not a decoder's."""
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
