"""A kernel in plain torch for weight-only quantized linear layers: the weights are unpacked once, when they are loaded.

It runs on any CPU, and takes the memory of the original model. What it computes is what the artifact says, so its
answers are those of every other kernel, up to rounding.
"""

from __future__ import annotations

import torch
from vllm.model_executor.kernels.linear import MPLinearKernel, MPLinearLayerConfig
from vllm.model_executor.layers.quantization.utils import replace_parameter
from vllm.model_executor.layers.quantization.utils.quant_utils import unpack_quantized_values_into_int32
from vllm.platforms import current_platform
from vllm.scalar_type import ScalarType, scalar_types

SYMMETRIC = (scalar_types.uint4b8, scalar_types.uint8b128)
"""Stored with half the range added (8, 128)."""
ASYMMETRIC = (scalar_types.uint4, scalar_types.uint8)
"""Stored as they are, with a zero point for each group."""


class LowbitUnpackedLinearKernel(MPLinearKernel):  # type: ignore[misc] # vLLM is in the image only
    """4 and 8 bit, symmetric and not, one scale for each group or for a whole row."""

    @classmethod
    def get_min_capability(cls) -> int:
        """CPUs have none."""
        return -1

    @classmethod
    def can_implement(cls, c: MPLinearLayerConfig) -> tuple[bool, str | None]:
        """Whether it can run such a layer, or why not."""
        if not current_platform.is_cpu():
            return False, "it is for CPUs"
        taken = ASYMMETRIC if c.zero_points else SYMMETRIC
        if c.weight_type not in taken:
            points = "with" if c.zero_points else "without"
            return False, f"weights {points} zero points are unpacked from {taken}, not from {c.weight_type}"
        return True, None

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        """Replace the packed weights by unpacked ones: [outputs, inputs], in the type of the activations."""
        packed = _inputs_first(getattr(layer, self.w_q_name), packed_along_inputs=True)
        scales = _inputs_first(getattr(layer, self.w_s_name))
        zero_points = None
        if self.config.zero_points:
            assert self.w_zp_name is not None
            zero_points = _inputs_first(getattr(layer, self.w_zp_name))
        weights = unpacked(packed, scales, zero_points, self.config.weight_type).to(self.config.act_type)
        replace_parameter(layer, self.w_q_name, torch.nn.Parameter(weights.t().contiguous(), requires_grad=False))
        for name in (self.w_s_name, self.w_zp_name):
            if name is not None and getattr(layer, name, None) is not None:
                replace_parameter(layer, name, torch.nn.Parameter(torch.empty(0), requires_grad=False))

    def apply_weights(self, layer: torch.nn.Module, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """x [..., inputs] to [..., outputs]."""
        return torch.nn.functional.linear(x, getattr(layer, self.w_q_name), bias)


def unpacked(
    packed: torch.Tensor, scales: torch.Tensor, zero_points: torch.Tensor | None, kind: ScalarType
) -> torch.Tensor:
    """Weights [inputs, outputs] in single precision: (stored - zero) * scale.

    packed: int32 [inputs / n, outputs], n values in each, the first in the lowest bits. scales [groups, outputs].
    zero_points: int32 [groups, outputs / n], packed along the outputs; None where the type itself says what was added.
    """
    stored = unpack_quantized_values_into_int32(packed, kind, 0).float()
    group = stored.shape[0] // scales.shape[0]
    if zero_points is None:
        zeros = torch.full_like(scales, float(kind.bias), dtype=torch.float32)
    else:
        zeros = unpack_quantized_values_into_int32(zero_points, kind, 1).float()
    return (stored - zeros.repeat_interleave(group, 0)) * scales.float().repeat_interleave(group, 0)


def _inputs_first(parameter: torch.nn.Parameter, *, packed_along_inputs: bool = False) -> torch.Tensor:
    """The data with inputs (or their groups) along dimension 0. GPTQ stores it so; compressed-tensors the other way."""
    if packed_along_inputs and parameter.input_dim != parameter.packed_dim:
        raise ValueError("weights that are packed along their outputs cannot be unpacked here")
    return parameter.data.t() if parameter.output_dim == 0 else parameter.data
