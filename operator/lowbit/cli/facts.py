"""Model facts from config.json alone: those that prepare reads, with the number of weights computed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lowbit.api.facts import ModelFacts
from lowbit.api.modelshape import BYTES_PER_WEIGHT, embedding_weights, layer_weights, shape

NEEDED: Final = (
    "architectures", "model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "vocab_size", "max_position_embeddings",
)  # fmt: skip


class UnreadableConfigError(Exception):
    """The config is missing, or is not that of a decoder-only language model."""


def read_facts(path: Path) -> ModelFacts:
    """Facts from a config.json or the folder that holds one. Raises UnreadableConfigError."""
    file = path / "config.json" if path.is_dir() else path
    try:
        config = json.loads(file.read_text())
    except OSError as error:
        raise UnreadableConfigError(
            f"{file} cannot be read ({error.strerror}): give the model's config.json"
        ) from error
    except ValueError as error:
        raise UnreadableConfigError(f"{file} is no JSON: give the model's config.json") from error
    if not isinstance(config, dict) or (missing := [name for name in NEEDED if not config.get(name)]):
        lacking = ", ".join(missing) if isinstance(config, dict) else "everything"
        raise UnreadableConfigError(
            f"{file} lacks {lacking}: Lowbit handles decoder-only language models such as Llama, Qwen or Mistral"
        )
    return facts_of(config)


def facts_of(config: Mapping[str, Any]) -> ModelFacts:
    """The facts in a parsed config; the tokenizer is not read."""
    facts = ModelFacts(
        **shape(config),
        dtype=config.get("dtype") or config.get("torch_dtype") or "bfloat16",
        tied_embeddings=bool(config.get("tie_word_embeddings", False)),
        parameters=0,
        weight_bytes=0,
        tokenizer="",
        chat_template=False,
    )
    layer = layer_weights(facts)
    parameters = facts.layers * (layer.linear + layer.other) + embedding_weights(facts) + facts.hidden_size
    return facts.model_copy(
        update={"parameters": parameters, "weight_bytes": parameters * BYTES_PER_WEIGHT.get(facts.dtype, 2)}
    )
