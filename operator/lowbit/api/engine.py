"""The engine: the server that runs a model, in evaluation and in serving alike."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from lowbit.api.base import DecimalString, QuantityString, Wire

Device = Literal["GPU", "CPU"]

FORBIDDEN_ENGINE_ARGUMENTS = (
    "--model", "--served-model-name", "--host", "--port", "--uds", "--api-key", "--tensor-parallel-size", "-tp",
    "--pipeline-parallel-size", "-pp", "--max-model-len", "--dtype", "--gpu-memory-utilization", "--quantization", "-q",
    "--trust-remote-code", "--tokenizer", "--revision", "--hf-config-path", "--load-format", "--max-logprobs",
    "--enable-prefix-caching", "--no-enable-prefix-caching", "--shutdown-timeout", "--config", "--download-dir",
    "--distributed-executor-backend", "--nnodes", "--root-path", "--ssl-keyfile", "--ssl-certfile", "--hf-overrides",
)  # fmt: skip
"""What Lowbit sets itself, or what would let the engine run code or weights that were not judged."""


class EnvironmentVariable(Wire):
    """A plain environment variable. Secrets do not belong here."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)
    """Name of the variable."""
    value: str = Field(default="", max_length=4096)
    """Its value."""


class Resources(Wire):
    """Requests and limits of a container. GPUs are added from the device and the tensor parallel size."""

    requests: dict[str, QuantityString] = Field(default_factory=dict, max_length=16)
    """Requested amounts by resource name."""
    limits: dict[str, QuantityString] = Field(default_factory=dict, max_length=16)
    """Limits by resource name."""


class VLLM(Wire):
    """vLLM's OpenAI-compatible server. Evaluation and serving run it with the same image, arguments and environment."""

    image: str | None = Field(default=None, max_length=512, min_length=1)
    """The engine's image; where nothing is said, the platform's. Frozen when a revision is made."""
    device: Device = "GPU"
    """GPU asks for as many GPUs as the tensor parallel size; CPU asks for none."""
    tensor_parallel_size: int = Field(default=1, ge=1, le=64)
    """Devices that share every layer. It must divide the model's attention heads and fit the groups of the recipe."""
    max_model_len: int | None = Field(default=None, ge=16, le=10_000_000)
    """Longest prompt and answer together, in tokens; where nothing is said, what the model's config allows."""
    dtype: Literal["Auto", "BFloat16", "Float16"] = "Auto"
    """Type of the activations. Auto: that of the model."""
    gpu_memory_utilization: DecimalString = "0.90"
    """Share of the GPU's memory that the engine takes, above 0 and at most 1."""
    shm_size: QuantityString = "1Gi"
    """Size of /dev/shm, which the engine's processes share."""
    args: list[Annotated[str, StringConstraints(max_length=1024)]] = Field(default_factory=list, max_length=64)
    """Further arguments of the engine. What Lowbit sets itself is refused."""
    env: list[EnvironmentVariable] = Field(default_factory=list, max_length=64)
    """Environment of the engine."""
    resources: Resources = Resources()
    """Requests and limits of the engine's container."""


class Engine(Wire):
    """Exactly one member."""

    vllm: VLLM = VLLM()
    """vLLM."""


class ResolvedEngine(Wire):
    """What can change an answer, with nothing left open. Memory and CPU are not in it: they need no new verdict."""

    image: str
    device: Device
    tensor_parallel_size: int
    max_model_len: int | None = None
    dtype: Literal["Auto", "BFloat16", "Float16"]
    gpu_memory_utilization: DecimalString
    args: list[str]
    env: list[EnvironmentVariable]
