"""The linear layers and the number of weights that follow from a configuration alone, for `lowbit plan`.

prepare reads them from the tensors' headers instead (headers.py).
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from lowbit.api.facts import LinearLayer
from lowbit.architecture import mixers
from lowbit.architecture.config import ModelConfig
from lowbit.architecture.layers import expert_layers, experts
from lowbit.architecture.layers import mixers as mixers_of

UNKNOWN: Final = frozenset({"zamba", "zamba2", "gemma3n_text", "gemma4_text", "mamba", "mamba2", "falcon_mamba",
                            "longcat_flash", "minimax", "recurrent_gemma", "rwkv", "dbrx", "xlnet",
                            "gemma4_unified_text", "diffusion_gemma_text", "glm5_next_text",
                            "inkling_text"})  # fmt: skip
"""Types whose layers follow other rules: only the tensors' headers tell their sizes."""
PLAIN_MLP: Final = frozenset({"gpt2", "gpt_neo", "gpt_neox", "gpt_neox_japanese", "gptj", "codegen", "gpt_bigcode",
                              "opt", "falcon", "bloom", "mpt", "phi", "starcoder2", "nemotron", "nemotron_h", "apertus",
                              "arcee", "persimmon", "biogpt", "xglm"})  # fmt: skip
"""Types whose MLP has no gate: one layer up, one down."""
POSITIONS: Final = frozenset({"gpt2", "gpt_neo", "gpt_bigcode", "opt", "biogpt"})
"""Types with an embedding of positions."""


def expected_layers(config: ModelConfig) -> list[LinearLayer] | None:
    """The linear layers that are quantized; None for a type whose layers are not known."""
    if config.model_type in UNKNOWN:
        return None
    kinds = mixers_of(config)
    attending = sum(kind in ("Full", "Window", "Hybrid") for kind in kinds)
    with_state = sum(kind in ("State", "Hybrid") for kind in kinds)
    states = mixers.state(config, with_state) if with_state else []
    if states is None:
        return None
    found = [*(mixers.attention(config, attending) if attending else []), *states, *_mlps(config)]
    return [layer for layer in found if layer.count]


def expected_parameters(config: ModelConfig, layers: list[LinearLayer], *, tied: bool) -> int:
    """About how many weights there are: linear layers, embeddings, routers, norms."""
    hidden, vocabulary = int(config.text.hidden_size), int(config.text.vocab_size)
    embedding = int(config.get("word_embed_proj_dim", default=hidden))  # OPT
    positions = hidden * int(config.get("max_position_embeddings", default=0)) * (config.model_type in POSITIONS)
    routers = sum(expert_layers(config)) * experts(config) * hidden
    norms = (2 * int(config.text.num_hidden_layers) + 1) * hidden
    return (
        sum(layer.inputs * layer.outputs * layer.count for layer in layers)
        + vocabulary * embedding * (1 if tied else 2)
        + positions
        + routers
        + norms
    )


def _mlps(config: ModelConfig) -> list[LinearLayer]:
    """Dense MLPs, experts, and experts that every token passes."""
    sparse = expert_layers(config)
    words = config.get("layer_types") or ()
    alone = "mlp" in words or "moe" in words  # Nemotron-H: a layer mixes tokens, or is an MLP
    dense = [layer for layer, is_sparse in enumerate(sparse) if not is_sparse and (not alone or words[layer] == "mlp")]
    found: list[LinearLayer] = []
    for width, count in sorted(Counter(dense_width(config, layer) for layer in dense).items()):
        found += _mlp(config, "mlp", width, count)
    holding = sum(sparse)
    if holding:
        width = expert_width(config)
        found += _mlp(config, "mlp.experts", width, holding * experts(config))
        found += _mlp(config, "mlp.shared_experts", shared_width(config, width), holding)
    return found


def _mlp(config: ModelConfig, name: str, width: int, count: int) -> list[LinearLayer]:
    hidden = int(config.text.hidden_size)
    if not width or not count:
        return []
    names = ("up_proj",) if config.model_type in PLAIN_MLP else ("gate_proj", "up_proj")
    return [
        *(LinearLayer(name=f"{name}.{each}", inputs=hidden, outputs=width, count=count) for each in names),
        LinearLayer(name=f"{name}.down_proj", inputs=width, outputs=hidden, count=count, split="Inputs"),
    ]


def dense_width(config: ModelConfig, layer: int) -> int:
    """Inner width of a layer's dense MLP."""
    hidden = int(config.text.hidden_size)
    width = config.get("intermediate_size_mlp", "intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner")
    if isinstance(width, list | tuple):
        width = width[layer]
    if not isinstance(width, int):
        return int(config.get("expansion_ratio", default=4)) * hidden
    if config.get("shared_intermediate_size") and not experts(config):
        width = int(config.text.shared_intermediate_size)  # Granite 4 without experts
    return _adjusted(config, width)


def _adjusted(config: ModelConfig, width: int) -> int:
    """LFM2 rounds two thirds of its configured width up."""
    if not config.get("block_auto_adjust_ff_dim", default=False):
        return width
    multiple = int(config.text.block_multiple_of)
    scaled = int(float(config.get("block_ffn_dim_multiplier", default=1.0)) * int(2 * width / 3))
    return multiple * ((scaled + multiple - 1) // multiple)


def expert_width(config: ModelConfig) -> int:
    """Inner width of one routed expert."""
    width = config.get("moe_intermediate_size", "expert_dim", "intermediate_size", "ffn_hidden_size")
    return int(max(width) if isinstance(width, list | tuple) else width)


def shared_width(config: ModelConfig, width: int) -> int:
    """Inner width of the experts that every token passes, together; width: of a routed one."""
    whole = config.get(
        "shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "shared_intermediate_size"
    )
    if isinstance(whole, int):
        return whole
    if config.model_type == "llama4_text":
        return width
    number = config.get("n_shared_experts", "moe_num_shared_experts", "num_shared_experts", default=0)
    return width * number if isinstance(number, int) else 0
