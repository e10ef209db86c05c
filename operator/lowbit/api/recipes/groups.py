"""Group sizes (input channels that share a scale): which ones a model allows, and the bytes they take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from lowbit.api.modelshape import BYTES_PER_WEIGHT, embedding_weights, layer_weights
from lowbit.api.problem import Problem
from lowbit.api.recipes.base import Fitting

GroupSize = Literal["Auto"] | Literal[-1, 32, 64, 128]
ResolvedGroupSize = Literal[-1, 32, 64, 128]
SIZES: Final = (128, 64, 32)
"""What Auto chooses from, the largest first."""
WHOLE_ROW: Final = -1
"""One scale for each output channel."""
LOADABLE: Final = "a group size of -1, 32, 64 or 128 that divides every layer"
"""What `not_loaded` accepts, in words."""


def widths(fitting: Fitting) -> dict[str, int]:
    """Input channels per rank of each kind of layer: column-parallel layers keep all, row-parallel ones are split."""
    facts, ranks = fitting.facts, fitting.tensor_parallel_size
    return {
        "hidden size": facts.hidden_size,
        "attention output rows per rank": facts.attention_heads * facts.head_dim // ranks,
        "MLP down-projection rows per rank": facts.intermediate_size // ranks,
    }


def legal(fitting: Fitting) -> list[int]:
    """Group sizes that divide every layer's rows on each rank, the largest first."""
    return [size for size in SIZES if all(width % size == 0 for width in widths(fitting).values())]


def resolve(asked: GroupSize, fitting: Fitting) -> int | None:
    """The group size to quantize with, or None if the requested one does not fit."""
    if asked == "Auto":
        return next(iter(legal(fitting)), WHOLE_ROW)
    return asked if asked == WHOLE_ROW or asked in legal(fitting) else None


def problems(asked: GroupSize, fitting: Fitting) -> list[Problem]:
    """A problem if the group size does not divide each rank's rows of every row-parallel layer."""
    if resolve(asked, fitting) is not None:
        return []
    every = ", ".join(f"{name} {width}" for name, width in widths(fitting).items())
    message = f"{asked} does not divide every layer at tensor parallel size {fitting.tensor_parallel_size} ({every})"
    action = f"use {' or '.join(map(str, legal(fitting))) or WHOLE_ROW}, or Auto"
    return [Problem("groupSize", "GroupNotDivisible", message, action)]


def label(size: int | str) -> str:
    """g64, channel, gAuto."""
    return "channel" if size == WHOLE_ROW else f"g{size}"


def packed_bytes(bits: int, group_size: int, fitting: Fitting, *, indices: bool) -> int:
    """Bytes of an artifact's files.

    Packed weights, a 16-bit scale and a packed zero point per group and channel and, with indices, an int32 group index
    for each row. Embeddings, output layer and norms stay as they are.
    """
    facts = fitting.facts
    layer, width = layer_weights(facts), BYTES_PER_WEIGHT.get(facts.dtype, 2)
    # Without groups there is one scale per output channel; the mean number of rows stands for the group.
    rows = group_size if group_size > 0 else layer.linear_rows // 7
    per_weight = bits / 8 + (2 + bits / 8) / rows
    quantized = facts.layers * (layer.linear * per_weight + (layer.linear_rows * 4 if indices else 0))
    kept = (facts.layers * layer.other + embedding_weights(facts) + facts.hidden_size) * width
    return round(quantized + kept)


def not_loaded(settings: Mapping[str, Any], fitting: Fitting) -> list[str]:
    """Why an artifact's groups cannot be loaded."""
    size = settings.get("group_size")
    if size not in (WHOLE_ROW, *SIZES):
        return [f"group_size {size}"]
    if size == WHOLE_ROW:
        return []
    return [
        f"group_size {size}, which does not divide the {name}, {width}"
        for name, width in widths(fitting).items()
        if width % size
    ]
