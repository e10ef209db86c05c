"""The engine's container: what vLLM is started with. Evaluation and serving come through here, so that what was
measured is what is served; the arguments that only one of them needs are MEASURING and serving_only()."""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.api.documents import ENGINE_PORT, MODEL_PATH, SCRATCH_PATH
from lowbit.api.engine import ResolvedEngine, Resources
from lowbit.api.names import MANAGED_BY
from lowbit.api.platform import Platform
from lowbit.desired.common import Manifest, container_security, environment, resources, without_empty
from lowbit.desired.volumes import Mount, volume_mounts

MAX_LOGPROBS = 100
"""The most logprobs a suite may ask for (topLogprobs)."""
MEASURING = ("--no-enable-prefix-caching", "--max-logprobs", str(MAX_LOGPROBS))
"""Only while measuring: a cached prefix makes numbers depend on the order of requests."""

COMMAND = ("vllm", "serve", MODEL_PATH)
DTYPES = {"Auto": "auto", "BFloat16": "bfloat16", "Float16": "float16"}
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HOME": SCRATCH_PATH,
    "TMPDIR": SCRATCH_PATH,
    "USER": MANAGED_BY,  # a numeric user has no name, and torch asks for one
}


def serving_only(drain_seconds: int) -> tuple[str, ...]:
    """Only while serving: requests in flight at the end are finished first. It changes no answer."""
    return ("--shutdown-timeout", str(drain_seconds))


def engine_arguments(served_name: str, engine: ResolvedEngine) -> list[str]:
    """Arguments that evaluation and serving share."""
    arguments = [
        "--served-model-name", served_name,
        "--host", "127.0.0.1",
        "--port", str(ENGINE_PORT),
        "--tensor-parallel-size", str(engine.tensor_parallel_size),
        "--dtype", DTYPES[engine.dtype],
    ]  # fmt: skip
    if engine.max_model_len is not None:
        arguments += ["--max-model-len", str(engine.max_model_len)]
    if engine.device == "GPU":
        arguments += ["--gpu-memory-utilization", engine.gpu_memory_utilization]
    return arguments + engine.args


def engine_container(
    served_name: str,
    engine: ResolvedEngine,
    asked: Resources,
    platform: Platform,
    mounts: Sequence[Mount],
    *,
    only: Sequence[str],
) -> Manifest:
    """The container `engine`, without probes. only: MEASURING or serving_only()."""
    gpus = engine.tensor_parallel_size if engine.device == "GPU" else 0
    return {
        "name": "engine",
        "image": engine.image,
        "imagePullPolicy": platform.image_pull_policy,
        "command": list(COMMAND),
        "args": [*engine_arguments(served_name, engine), *only],
        "env": environment(ENVIRONMENT, engine.env),
        "volumeMounts": volume_mounts(mounts),
        "securityContext": container_security(),
    } | without_empty({"resources": resources(asked, gpus=gpus, gpu_resource=platform.gpu_resource)})
