"""The plugin's entry point (vllm.general_plugins): vLLM calls it once in each process, before it loads a model."""

from __future__ import annotations

import os

import torch
from vllm.logger import init_logger
from vllm.model_executor.kernels.linear import CPUWNA16LinearKernel, register_linear_kernel
from vllm.model_executor.layers.quantization import register_quantization_config
from vllm.platforms import current_platform
from vllm.platforms.interface import PlatformEnum

from lowbit_kernels.gptq import NAMES, LowbitGPTQConfig
from lowbit_kernels.unpacked import LowbitUnpackedLinearKernel

DISABLED = "VLLM_DISABLED_KERNELS"
"""vLLM's own switch: names of kernels that are not to be chosen, separated by commas."""
RANK = "LOWBIT_RANK"
"""Set in the pods of a group."""
FAST = CPUWNA16LinearKernel.__name__

# A child of vLLM's logger: it has vLLM's handlers.
logger = init_logger("vllm.plugins.lowbit")


def register() -> None:
    """Offer Lowbit's kernel after vLLM's own, and switch off vLLM's int4 kernel where the CPU's library lacks it."""
    if not current_platform.is_cpu():
        return
    if not has_fast_kernel():
        # Without AVX-512 vLLM chooses it all the same, and dies at the first request.
        os.environ[DISABLED] = with_disabled(os.environ.get(DISABLED, ""), FAST)
        logger.info("This CPU's vLLM library has no int4 kernel (it needs AVX-512): %s is off", FAST)
    register_linear_kernel(LowbitUnpackedLinearKernel, PlatformEnum.CPU, "mp")
    for name in NAMES:
        register_quantization_config(name)(LowbitGPTQConfig)
    if RANK in os.environ:
        # Imported there alone: it takes seconds.
        from lowbit_kernels.stages import receive_without_warming_up  # noqa: PLC0415

        receive_without_warming_up()


def has_fast_kernel() -> bool:
    """Whether the library that vLLM has loaded for this CPU has the int4 kernel."""
    return hasattr(torch.ops._C, "cpu_gemm_wna16")


def with_disabled(switched_off: str, name: str) -> str:
    """The value of VLLM_DISABLED_KERNELS with one more name in it, once."""
    names = [each for each in switched_off.split(",") if each]
    return ",".join(names if name in names else [*names, name])
