"""Runs in the engine's image: quantized layers through vLLM's own linear methods, held against a plain dequantization.

    python -m tests.engine.kernels_inside [avx2]     avx2: vLLM loads the library that it loads on a CPU without AVX-512

Prints one line of JSON: by case, the kernel that vLLM chose and the largest relative difference of its output.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

INPUTS, OUTPUTS, ROWS = 256, 96, 5
BITS_OF_WORD = 32
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of eight neighbours AWQ puts at which place of a word."""


@dataclass(frozen=True)
class Layer:
    """One layer as it was before it was packed."""

    format: str
    bits: int
    group_size: int
    symmetric: bool
    stored: np.ndarray
    """[inputs, outputs], from 0 to 2^bits - 1."""
    zeros: np.ndarray
    """[groups, outputs]."""
    scales: np.ndarray
    """[groups, outputs]."""

    @property
    def name(self) -> str:
        """Such as gptq-int4-g64-symmetric."""
        group = "channel" if self.group_size == -1 else f"g{self.group_size}"
        return f"{self.format}-int{self.bits}-{group}-{'symmetric' if self.symmetric else 'asymmetric'}"

    def weights(self) -> np.ndarray:
        """[inputs, outputs], value by value as the formats' papers write it: (stored - zero) * scale."""
        found = np.empty(self.stored.shape)
        group = INPUTS // len(self.scales)
        for index in range(INPUTS):
            row = index // group
            found[index] = (self.stored[index] - self.zeros[row]) * self.scales[row]
        return found


def layers() -> Iterator[Layer]:
    """Every kind of layer that a weight-only artifact can have."""
    kinds = [("gptq", bits, True) for bits in (4, 8)] + [("awq", 4, False)]
    kinds += [("compressed-tensors", bits, symmetric) for bits in (4, 8) for symmetric in (True, False)]
    random = np.random.default_rng(7)
    for format_, bits, symmetric in kinds:
        for group_size in (-1, 32, 64, 128):
            groups = 1 if group_size == -1 else INPUTS // group_size
            stored = random.integers(0, 2**bits, (INPUTS, OUTPUTS))
            middle = np.full((groups, OUTPUTS), 2 ** (bits - 1))
            zeros = middle if symmetric else random.integers(0, 2**bits, (groups, OUTPUTS))
            scales = torch.tensor(random.uniform(0.001, 0.02, (groups, OUTPUTS)), dtype=torch.bfloat16)
            yield Layer(format_, bits, group_size, symmetric, stored, zeros, scales.double().numpy())


def packed(values: np.ndarray, bits: int, axis: int, order: tuple[int, ...] | None = None) -> torch.Tensor:
    """Neighbours along an axis in one word, the first in its lowest bits."""
    many = BITS_OF_WORD // bits
    values = np.moveaxis(values, axis, -1).astype(np.int64)
    values = values.reshape(*values.shape[:-1], -1, many)
    places = order or tuple(range(many))
    words = np.zeros(values.shape[:-1], dtype=np.int64)
    for number, place in enumerate(places):
        words |= values[..., place] << (bits * number)
    return torch.tensor(np.moveaxis(words.astype(np.uint32).view(np.int32), -1, axis).copy())


def loaded(layer: Layer) -> tuple[torch.nn.Module, Any, dict[str, torch.Tensor]]:
    """vLLM's module and method for the layer, and the tensors as the format's files hold them."""
    scales = torch.tensor(layer.scales).to(torch.bfloat16)
    bits = layer.bits
    if layer.format == "gptq":
        config = {"bits": bits, "group_size": layer.group_size, "desc_act": False, "sym": True}
        module = linear("auto_gptq", config)
        return module, module.quant_method, {"qweight": packed(layer.stored, bits, 0), "scales": scales}
    if layer.format == "awq":
        module = linear("awq", {"w_bit": bits, "q_group_size": layer.group_size, "zero_point": True})
        tensors = {
            "qweight": packed(layer.stored, bits, 1, AWQ_ORDER), "qzeros": packed(layer.zeros, bits, 1, AWQ_ORDER),
            "scales": scales,
        }  # fmt: skip
        return module, module.quant_method, tensors
    tensors = {"weight_packed": packed(layer.stored.T, bits, 1), "weight_scale": scales.t().contiguous()}
    if not layer.symmetric:
        tensors["weight_zero_point"] = packed(layer.zeros.T, bits, 0)
    return *scheme(layer), tensors


def linear(name: str, config: dict[str, Any]) -> Any:
    """A linear layer of vLLM's, quantized as the model's config says."""
    from vllm.model_executor.layers.linear import ReplicatedLinear
    from vllm.model_executor.layers.quantization import get_quantization_config

    quant_config = get_quantization_config(name).from_config(config)
    return ReplicatedLinear(INPUTS, OUTPUTS, False, params_dtype=torch.bfloat16, quant_config=quant_config, prefix="x")


def scheme(layer: Layer) -> tuple[torch.nn.Module, Any]:
    """An empty module, and the scheme of compressed-tensors for the layer, with its parameters made."""
    from vllm.model_executor.layers.quantization.compressed_tensors.schemes import CompressedTensorsWNA16

    group_size = None if layer.group_size == -1 else layer.group_size
    strategy = "channel" if group_size is None else "group"
    found = CompressedTensorsWNA16(strategy, layer.bits, group_size, layer.symmetric)
    module = torch.nn.Module()
    module.bias = None
    found.create_weights(
        layer=module, output_size=OUTPUTS, input_size=INPUTS, output_partition_sizes=[OUTPUTS],
        input_size_per_partition=INPUTS, params_dtype=torch.bfloat16, weight_loader=lambda *_: None,
    )  # fmt: skip
    return module, found


def run(layer: Layer) -> dict[str, Any]:
    """Load, process and apply, as vLLM does."""
    module, method, tensors = loaded(layer)
    for name, tensor in tensors.items():
        getattr(module, name).data.copy_(tensor)
    method.process_weights_after_loading(module)
    x = torch.tensor(np.random.default_rng(11).normal(size=(ROWS, INPUTS))).to(torch.bfloat16)
    apply = method.apply_weights if layer.format == "compressed-tensors" else method.apply
    found = apply(module, x, None).double().numpy()
    wanted = x.double().numpy() @ layer.weights()
    return {
        "kernel": type(method.kernel).__name__,
        "difference": float(np.abs(found - wanted).max() / np.abs(wanted).max()),
    }


def main() -> None:
    """Everything in one process: importing vLLM takes longest."""
    if "avx2" in sys.argv[1:]:
        torch.cpu._is_avx512_supported = lambda: False
    from vllm.config import VllmConfig, set_current_vllm_config
    from vllm.distributed import init_distributed_environment, initialize_model_parallel
    from vllm.plugins import load_general_plugins

    load_general_plugins()
    with set_current_vllm_config(VllmConfig()), tempfile.NamedTemporaryFile() as meeting:
        init_distributed_environment(1, 0, f"file://{meeting.name}", 0, "gloo")
        initialize_model_parallel(1)
        results = {layer.name: run(layer) for layer in layers()}
    fast = hasattr(torch.ops._C, "cpu_gemm_wna16")
    print(json.dumps({"fast": fast, "results": results}))


if __name__ == "__main__":
    main()
