"""The engine's container: what vLLM is started with. Evaluation and serving come through here, so that what was
measured is what is served; what only one of them needs is in measuring_only() and serving_only()."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lowbit.api.documents import ENGINE_LOG_PATH, ENGINE_LOGGING_PATH, ENGINE_PORT, MODEL_PATH, SCRATCH_PATH
from lowbit.api.engine import ResolvedEngine, Resources
from lowbit.api.names import MANAGED_BY
from lowbit.api.platform import Platform
from lowbit.desired.common import Manifest, container_security, environment, resources, without_empty
from lowbit.desired.volumes import Mount, volume_mounts

MAX_LOGPROBS = 100
"""The most logprobs a suite may ask for (topLogprobs)."""
MEASURING = ("--no-enable-prefix-caching", "--max-logprobs", str(MAX_LOGPROBS))
"""Only while measuring: a cached prefix makes numbers depend on the order of requests."""
LOGGING_VARIABLE = "VLLM_LOGGING_CONFIG_PATH"
LOGGING_SETTINGS = (LOGGING_VARIABLE, "VLLM_CONFIGURE_LOGGING")
"""Where the manifest sets one of these, it has the word on the engine's log."""

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


@dataclass(frozen=True)
class Only:
    """What only measuring or only serving adds. None of it changes an answer."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def measuring_only(engine: ResolvedEngine) -> Only:
    """The arguments of MEASURING, and a second copy of the log: the evaluator reads in it which kernels ran."""
    own = any(variable.name in LOGGING_SETTINGS for variable in engine.env)
    return Only(MEASURING, {} if own else {LOGGING_VARIABLE: ENGINE_LOGGING_PATH})


def serving_only(drain_seconds: int) -> Only:
    """Requests in flight at the end are finished first."""
    return Only(("--shutdown-timeout", str(drain_seconds)))


def logging_configuration() -> str:
    """Python's logging.config.dictConfig as JSON: lines as vLLM writes them, to stdout and to ENGINE_LOG_PATH."""
    handlers = {
        "stdout": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stdout"},
        "file": {"class": "logging.FileHandler", "formatter": "line", "filename": ENGINE_LOG_PATH},
    }
    line = {"format": "%(levelname)s %(asctime)s [%(name)s:%(lineno)d] %(message)s", "datefmt": "%m-%d %H:%M:%S"}
    loggers = {"vllm": {"handlers": list(handlers), "level": "INFO", "propagate": False}}
    whole = {"version": 1, "disable_existing_loggers": False, "formatters": {"line": line}, "handlers": handlers}
    return json.dumps(whole | {"loggers": loggers})


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
    only: Only,
) -> Manifest:
    """The container `engine`, without probes. only: measuring_only() or serving_only()."""
    gpus = engine.tensor_parallel_size if engine.device == "GPU" else 0
    return {
        "name": "engine",
        "image": engine.image,
        "imagePullPolicy": platform.image_pull_policy,
        "command": list(COMMAND),
        "args": [*engine_arguments(served_name, engine), *only.arguments],
        "env": environment({**ENVIRONMENT, **only.environment}, engine.env),
        "volumeMounts": volume_mounts(mounts),
        "securityContext": container_security(),
    } | without_empty({"resources": resources(asked, gpus=gpus, gpu_resource=platform.gpu_resource)})
