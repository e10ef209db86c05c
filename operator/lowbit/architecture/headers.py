"""The linear layers of a model, from the names and shapes of its tensors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final, Protocol

from lowbit.api.facts import LinearLayer, Split

LAYER: Final = re.compile(r"(?P<before>.*?)\b(?:layers|h|blocks|block)\.(?P<number>\d+)\.(?P<name>.+)")
OTHER_PARTS: Final = re.compile(r"vision|visual|audio|speech|image|mm_projector|multi_modal|\bmtp\b")
EXPERT_NUMBER: Final = re.compile(r"\.\d+(?=\.|$)")
SPLIT_BY_INPUTS: Final = frozenset({"o_proj", "out_proj", "down_proj", "c_proj", "fc2", "w2", "wo", "dense", "fc_out",
                                    "dense_4h_to_h", "output_linear", "ffn_down", "linear_2", "x_proj"})  # fmt: skip
"""Last parts of names of row-parallel layers."""
SPLIT_BY_NONE: Final = frozenset({"q_a_proj", "kv_a_proj_with_mqa", "kv_a_proj", "fused_qkv_a_proj"})
"""Last parts of names of layers that every rank holds whole."""
NOT_QUANTIZED: Final = re.compile(
    r"(^|\.)(gate|router|wg|shared_expert_gate|gate_score|classifier|in_proj_(a|b|ba)|weights_proj)$"  # routers, gates
    r"|(^|\.)(indexer|altup|laurel|per_layer_\w+)(\.|$)|embed|norm|conv1d|rotary|relative_attention"
)
INPUTS_FIRST: Final = frozenset({"gpt2"})
"""Types that keep a weight as [inputs, outputs]."""


class Named(Protocol):
    """A tensor's name and shape."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...


def linear_layers(tensors: Iterable[Named], model_type: str, hidden: int, layers: int) -> list[LinearLayer]:
    """The linear layers that are quantized, the same kinds together, in order of their names.

    hidden: width between the layers. layers: number of decoder layers; what lies behind predicts further tokens.
    """
    found: Counter[tuple[str, int, int]] = Counter()
    for tensor in tensors:
        kind = layer_kind(tensor.name, layers)
        if kind is None:
            continue
        if len(tensor.shape) == 2:
            outputs, inputs = reversed(tensor.shape) if model_type in INPUTS_FIRST else tensor.shape
            found[kind, inputs, outputs] += 1
        elif len(tensor.shape) == 3 and "experts" in kind:
            inputs, outputs = _of_experts(kind, tensor.shape[1:], hidden)
            found[kind, inputs, outputs] += tensor.shape[0]
    return [
        LinearLayer(name=name, inputs=inputs, outputs=outputs, count=count, split=split_of(name))
        for (name, inputs, outputs), count in sorted(found.items())
    ]


def split_of(name: str) -> Split:
    """How ranks share a layer, by the last part of its name."""
    last = name.rpartition(".")[2]
    if last in SPLIT_BY_INPUTS:
        return "Inputs"
    return "None" if last in SPLIT_BY_NONE else "Outputs"


def layer_kind(tensor: str, layers: int) -> str | None:
    """A tensor's name without numbers; None for what is no linear layer of a decoder layer."""
    match = LAYER.fullmatch(tensor)
    if match is None or int(match["number"]) >= layers or OTHER_PARTS.search(match["before"]):
        return None
    kind = EXPERT_NUMBER.sub("", match["name"].removesuffix(".weight"))
    if kind.endswith(".bias") or NOT_QUANTIZED.search(kind):
        return None
    return kind


def _of_experts(kind: str, sizes: tuple[int, ...], hidden: int) -> tuple[int, int]:
    """Inputs and outputs of a tensor that holds all experts: types differ in which comes first."""
    other = sizes[1] if sizes[0] == hidden else sizes[0]
    return (other, hidden) if split_of(kind) == "Inputs" else (hidden, other)


def has_output_layer(tensors: Iterable[Named], vocabulary: int, hidden: int) -> bool:
    """Whether an output layer of its own is there, by whatever name (lm_head, embed_out, output)."""
    return any(
        len(tensor.shape) == 2
        and tensor.shape[1] == hidden
        and tensor.shape[0] >= vocabulary
        and LAYER.fullmatch(tensor.name) is None
        and not re.search(r"embed_tokens|embed_in\b|wte|word_embeddings|tok_embeddings|embeddings\.", tensor.name)
        for tensor in tensors
    )
