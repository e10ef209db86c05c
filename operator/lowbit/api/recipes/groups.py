"""Group sizes (input channels that share a scale): which ones a model allows, and the bytes they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from lowbit.api.facts import BYTES_PER_WEIGHT
from lowbit.api.problem import Problem, some
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
    """Input channels per rank of each kind of layer: row-parallel layers share them, others keep all."""
    facts, ranks = fitting.facts, fitting.tensor_parallel_size
    if facts.linear:
        return {
            layer.name: layer.inputs // ranks if layer.split == "Inputs" else layer.inputs for layer in facts.linear
        }
    return {
        "hidden size": facts.hidden_size,
        "attention output": facts.attention_heads * facts.head_dim // ranks,
        "MLP down-projection": facts.intermediate_size // ranks,
    }


def legal(fitting: Fitting) -> list[int]:
    """Group sizes that divide every layer's rows on each rank, the largest first."""
    return [size for size in SIZES if all(width % size == 0 for width in widths(fitting).values())]


def resolve(asked: GroupSize, fitting: Fitting) -> int | None:
    """The group size to quantize with, or None if the requested one does not fit.

    Auto never takes whole rows: one scale for thousands of weights is another quality, which a person has to choose.
    """
    if asked == "Auto":
        return next(iter(legal(fitting)), None)
    return asked if asked == WHOLE_ROW or asked in legal(fitting) else None


def problems(asked: GroupSize, fitting: Fitting) -> list[Problem]:
    """A problem if the group size does not divide each rank's rows of every layer."""
    if resolve(asked, fitting) is not None:
        return []
    ranks = fitting.tensor_parallel_size
    step = SIZES[-1] if asked == "Auto" else int(asked)
    odd = [f"{name} {width}" for name, width in widths(fitting).items() if width % step]
    of = "none of 128, 64 and 32 divides" if asked == "Auto" else f"{asked} does not divide"
    message = f"{of} the rows of every layer at tensor parallel size {ranks} ({some(odd)})"
    sizes = legal(fitting)
    fewer = fitting_ranks(fitting)
    action = f"use {' or '.join(map(str, sizes))}, or Auto" if sizes else "use -1 (one scale for each output channel)"
    if not sizes and fewer:
        action += f", or a tensor parallel size of {' or '.join(map(str, fewer))}"
    return [Problem("groupSize", "GroupNotDivisible", message, action)]


def fitting_ranks(fitting: Fitting) -> list[int]:
    """Smaller tensor parallel sizes at which some group size divides every layer."""
    heads = fitting.facts.attention_heads
    sizes = [size for size in range(1, fitting.tensor_parallel_size) if heads % size == 0]
    return [size for size in sizes if legal(replace(fitting, tensor_parallel_size=size))]


def label(size: int | str) -> str:
    """g64, channel, gAuto."""
    return "channel" if size == WHOLE_ROW else f"g{size}"


def packed_bytes(bits: int, group_size: int, fitting: Fitting, *, indices: bool) -> int | None:
    """Bytes of an artifact's files; None if the model's layers are not known.

    Packed weights, a 16-bit scale and a packed zero point per group and channel and, with indices, an int32 group index
    for each row. Embeddings, output layer, norms, routers and what is not text stay as they are.
    """
    if not fitting.facts.linear:
        return None
    facts = fitting.facts
    width = BYTES_PER_WEIGHT.get(facts.dtype, 2)
    quantized, weights = 0.0, 0
    for layer in facts.linear:
        rows = group_size if group_size > 0 else layer.inputs
        each = layer.inputs * layer.outputs * (bits / 8 + (2 + bits / 8) / rows) + (layer.inputs * 4 if indices else 0)
        quantized += layer.count * each
        weights += layer.count * layer.inputs * layer.outputs
    return round(quantized + (facts.parameters - weights) * width)


def not_loaded(settings: Mapping[str, Any], fitting: Fitting) -> list[str]:
    """Why an artifact's groups cannot be loaded."""
    size = settings.get("group_size")
    if size not in (WHOLE_ROW, *SIZES):
        return [f"group_size {size}"]
    if size == WHOLE_ROW:
        return []
    return [
        f"group_size {size}, which does not divide the {width} rows per rank of {name}"
        for name, width in widths(fitting).items()
        if width % size
    ]
