"""A vLLM plugin for CPUs: weight-only quantized layers that no kernel of vLLM's CPU build can run."""

from lowbit_kernels.plugin import register

__all__ = ["register"]
