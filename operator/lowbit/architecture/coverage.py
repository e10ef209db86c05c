"""How much of a model is quantized, from the names and shapes of its tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, Protocol

from lowbit.api.facts import Coverage
from lowbit.architecture.headers import layer_kind

MARKS: Final = (".qweight", ".weight_packed", ".weight_scale_inv", ".weight_scale")
"""Ends of the names of tensors that only a quantized layer has: GPTQ and AWQ; compressed-tensors; FP8."""
KINDS_LIMIT = 5
"""Kinds of layers that are named."""


class Named(Protocol):
    """A tensor's name and shape."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...


def coverage(tensors: Iterable[Named], layers: int) -> Coverage:
    """The quantized linear layers of the decoder layers, and those that were left as they are.

    layers: number of decoder layers. A tensor that holds all experts counts as so many layers.
    """
    known = list(tensors)
    quantized = {tensor.name.removesuffix(mark) for tensor in known for mark in MARKS if tensor.name.endswith(mark)}
    counted, left = 0, Counter[str]()
    for name in quantized:
        counted += layer_kind(f"{name}.weight", layers) is not None
    for tensor in known:
        name = tensor.name.removesuffix(".weight")
        kind = layer_kind(tensor.name, layers)
        if kind is None or name in quantized or tensor.name.endswith(_PARTS) or len(tensor.shape) not in (2, 3):
            continue
        left[kind] += tensor.shape[0] if len(tensor.shape) == 3 else 1
    most = [kind for kind, _ in left.most_common(KINDS_LIMIT)]
    return Coverage(quantized=counted, linear=counted + left.total(), left=most)


_PARTS: Final = (*MARKS, ".qzeros", ".scales", ".g_idx", ".weight_shape", ".weight_zero_point", ".input_scale")
"""Tensors of a quantized layer."""
