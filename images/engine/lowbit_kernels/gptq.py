"""GPTQ on CPUs with 8 bit as well: vLLM takes 4 bit only there, because its own kernel does.

Replaces vLLM's own quantization config (register_quantization_config) by one that leaves the question to the kernels.
"""

from __future__ import annotations

import torch
from vllm.model_executor.layers.linear import LinearBase, LinearMethodBase
from vllm.model_executor.layers.quantization.auto_gptq import AutoGPTQConfig, AutoGPTQLinearMethod
from vllm.model_executor.layers.quantization.base_config import QuantizeMethodBase
from vllm.model_executor.layers.quantization.utils.gptq_utils import get_linear_quant_method
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

NAMES = (AutoGPTQConfig.get_name(), "gptq", "gptq_marlin")
"""Under which vLLM looks it up."""


class LowbitGPTQLinearMethod(AutoGPTQLinearMethod):  # type: ignore[misc] # vLLM is in the image only
    """vLLM's own, without its look at what its GPU kernel could do."""

    def __init__(self, quant_config: AutoGPTQConfig) -> None:
        LinearMethodBase.__init__(self)
        self.quant_config = quant_config
        self.quant_type = quant_config.quant_type
        self.input_dtype = None


class LowbitGPTQConfig(AutoGPTQConfig):  # type: ignore[misc] # vLLM is in the image only
    """vLLM's own, for all but mixtures of experts with the linear method above."""

    def get_quant_method(self, layer: torch.nn.Module, prefix: str) -> QuantizeMethodBase | None:
        """The method for a layer; None for one that is not quantized."""
        if isinstance(layer, (LinearBase, ParallelLMHead)):
            return get_linear_quant_method(self, layer, prefix, LowbitGPTQLinearMethod)
        return super().get_quant_method(layer, prefix)
