"""What each decoder layer of a model is: which keep a cache, which hold experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from lowbit.architecture.config import ModelConfig

Mixer = Literal["Full", "Window", "State", "Hybrid", "None"]
"""Attention to every token, or to the last ones; a state of fixed size (mamba, linear attention, convolution);
attention and a state side by side; or a layer that holds only an MLP."""

MIXERS: Final[dict[str, Mixer]] = {
    "full_attention": "Full",
    "attention": "Full",
    "indexed_attention": "Full",
    "sliding_attention": "Window",
    "chunked_attention": "Window",
    "linear_attention": "State",
    "mamba": "State",
    "mamba2": "State",
    "conv": "State",
    "hybrid": "Hybrid",
    "moe": "None",
    "mlp": "None",
}
"""transformers' words in `layer_types`."""


def mixers(config: ModelConfig) -> list[Mixer]:
    """Each layer's way to mix tokens, in order."""
    count = int(config.text.num_hidden_layers)
    words = config.get("layer_types", "layers_block_type")
    if isinstance(words, Sequence) and not isinstance(words, str) and len(words) >= count:
        return [MIXERS.get(str(word), "Full") for word in words[:count]]
    return ["Window" if window(config) is not None else "Full"] * count


def window(config: ModelConfig) -> int | None:
    """Tokens that a layer with a window sees; None if it would see all."""
    size = config.get("sliding_window", "attention_chunk_size")
    if not isinstance(size, int) or config.get("use_sliding_window", default=True) is False:
        return None
    longest = config.get("max_position_embeddings", default=0)
    return size if not isinstance(longest, int) or size < longest else None


def caching_layers(config: ModelConfig) -> tuple[int, int]:
    """Number of layers that keep every token's keys and values, and of those that keep a window's."""
    kinds = mixers(config)
    shared = config.get("num_kv_shared_layers", default=0)
    own = kinds[: len(kinds) - shared] if isinstance(shared, int) and shared else kinds
    return sum(kind in ("Full", "Hybrid") for kind in own), own.count("Window")


def experts(config: ModelConfig) -> int:
    """Routed experts of a layer; 0 if it has none."""
    count = config.get("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts", default=0)
    if not isinstance(count, int):
        count = max((each for each in count if isinstance(each, int)), default=0)
    return count if count > 1 else 0


def expert_layers(config: ModelConfig) -> list[bool]:
    """Whether each layer holds experts instead of a dense MLP."""
    count = int(config.text.num_hidden_layers)
    if not experts(config):
        return [False] * count
    words = config.get("mlp_layer_types")
    if words is None and {"moe", "mlp"} & set(config.get("layer_types") or ()):
        words = config.get("layer_types")
    if words is not None:
        return [word in ("sparse", "moe") for word in words[:count]]
    if (numbers := config.get("moe_layers")) is not None:
        return [layer in numbers for layer in range(count)]
    if (each := config.get("layers_num_experts")) is not None:
        return [number > 1 for number in each[:count]]
    return [_by_steps(config, layer) for layer in range(count)]


def _by_steps(config: ModelConfig, layer: int) -> bool:
    """Whether a layer holds experts by the numbers of first layer, last layer and step that a type has."""
    first = config.get("first_k_dense_replace", "moe_layer_start_index", "num_dense_layers", default=0)
    last = config.get("moe_layer_end_index", default=-1)
    step = config.get("moe_layer_freq", "moe_layer_interval", "decoder_sparse_step", default=1)
    dense = config.get("mlp_only_layers", default=())
    if not isinstance(step, int) or step < 1 or layer in dense or layer < first or (last >= 0 and layer > last):
        return False
    return layer % step == 0 if config.get("moe_layer_freq") is not None else (layer + 1) % step == 0
