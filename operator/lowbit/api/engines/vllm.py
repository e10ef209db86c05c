"""vLLM's OpenAI-compatible server."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

from pydantic import Field

from lowbit.api.base import DecimalString
from lowbit.api.engine import EngineChanges, EnvironmentVariable
from lowbit.api.engines import vllm_group, vllm_named, vllm_rules
from lowbit.api.engines.base import (
    Asked,
    EngineKind,
    EngineSettings,
    LogWords,
    Only,
    Programs,
    Request,
    ResolvedSettings,
)
from lowbit.api.engines.vllm_group import Executor
from lowbit.api.engines.vllm_named import HistogramBuckets, NamedOptions
from lowbit.api.facts import LinearLayer, ModelFacts, StateHeads
from lowbit.api.paths import ENGINE_LOG_PATH, ENGINE_LOGGING_PATH, ENGINE_PORT, MODEL_PATH
from lowbit.api.platform import Platform
from lowbit.api.problem import Problem, some
from lowbit.api.quantity import quantity
from lowbit.api.rule import Rule, between

MAX_LOGPROBS = 100
"""The most logprobs a suite may ask for (topLogprobs)."""
MEASURING = ("--no-enable-prefix-caching", "--max-logprobs", str(MAX_LOGPROBS))
"""Only while measuring: a cached prefix makes numbers depend on the order of requests."""
LOGGING_VARIABLE = "VLLM_LOGGING_CONFIG_PATH"
LOGGING_SETTINGS = (LOGGING_VARIABLE, "VLLM_CONFIGURE_LOGGING")
"""If the manifest sets one of these, Lowbit leaves the configuration of the engine's log alone."""
LOG_WORDS = LogWords(
    kernel=re.compile(r"\b(?:Using|Selected) (\w+) for (\S.*?)\.?$"),
    general="mixed-precision linear",
    not_kernels=("attention",),
    error=re.compile(
        r"(?:[A-Za-z_][\w.]*\.)?\w*(?:Error|Exception|Interrupt)(?:: .*)?"  # the last line of a traceback
        r"|Fatal Python error: .*"  # a signal, such as an illegal instruction
        r"|.*Segfault encountered.*"
        r"|\S.*?: error: .*"  # an argument that is not known
    ),
    consequences=("Engine core initialization failed", "EngineDeadError", "EngineCore encountered an issue"),
    prefixes=(
        re.compile(r"\x1b\[[0-9;]*m"),
        re.compile(r"^\(\w[^)]*\bpid=\d+\)\s?"),
        re.compile(r"^(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\]\s?"),
    ),
)
DTYPES = {"Auto": "auto", "BFloat16": "bfloat16", "Float16": "float16"}


class VLLM(NamedOptions, EngineSettings):
    """vLLM's OpenAI-compatible server. Evaluation and serving run it with the same image, arguments and environment."""

    tensor_parallel_size: int = Field(default=1, ge=1, le=64)
    """Devices that share every layer. It must divide the model's attention heads and fit the groups of the recipe."""
    pipeline_parallel_size: int = Field(default=1, ge=1, le=64)
    """Pods that share the layers, for a model that one pod has not enough GPUs for: each holds a part of them, on
    tensorParallelSize GPUs. More than 1 makes a group of pods."""
    executor: Executor = "Process"
    """What holds a group of pods together: vLLM's own processes, or Ray, with which one pod is a group as well."""
    dtype: Literal["Auto", "BFloat16", "Float16"] = "Auto"
    """Type of the activations. Auto: that of the model."""
    gpu_memory_utilization: DecimalString = "0.90"
    """Share of the GPU's memory that the engine takes, above 0 and at most 1."""
    histogram_buckets: HistogramBuckets | None = None
    """Bounds of the histograms that vLLM measures, so that an objective lies on one of them. It needs no new verdict.
    vLLM has it since 0.32."""


class ResolvedVLLM(NamedOptions, ResolvedSettings):
    """vLLM with every default filled in."""

    tensor_parallel_size: int
    pipeline_parallel_size: int = 1
    executor: Executor = "Process"
    dtype: Literal["Auto", "BFloat16", "Float16"]
    gpu_memory_utilization: DecimalString


class VLLMKind(EngineKind[VLLM, ResolvedVLLM]):
    """One process, or several that share every layer."""

    name = "vllm"
    description = "vLLM."
    spec = VLLM
    resolved = ResolvedVLLM
    formats = frozenset({"gptq", "awq"})
    capabilities = frozenset({"PromptLogprobs", "StructuredOutputs"})
    address_variables = ("VLLM_HOST_IP",)
    command = ("vllm", "serve", MODEL_PATH)
    log_words = LOG_WORDS
    rules = (
        between("gpuMemoryUtilization", "gpu_memory_utilization", "{x} > 0.0 && {x} <= 1.0", lambda x: 0 < x <= 1,
                'gpuMemoryUtilization is a share above 0 and at most 1: write "0.90" for 90 percent'),
        Rule(
            "!(has(self.executor) && self.executor == 'Ray' && has(self.device) && self.device == 'CPU')",
            "vLLM's Ray executor does not run on CPUs: write executor: Process, or device: GPU",
            lambda vllm: vllm.executor != "Ray" or vllm.device == "GPU",
            "executor",
        ),
        *vllm_named.RULES,
    )  # fmt: skip
    beside = frozenset({"histogram_buckets"})
    change_rules = vllm_rules.CHANGE_RULES

    def resolve(self, spec: VLLM, platform: Platform, env: list[EnvironmentVariable]) -> ResolvedVLLM:
        """Fill in the platform's image if the manifest names none."""
        return ResolvedVLLM(
            image=spec.image or platform.engine_image,
            device=spec.device,
            tensor_parallel_size=spec.tensor_parallel_size,
            pipeline_parallel_size=spec.pipeline_parallel_size,
            executor=spec.executor,
            max_model_len=spec.max_model_len,
            dtype=spec.dtype,
            gpu_memory_utilization=spec.gpu_memory_utilization,
            args=spec.args,
            env=env,
            **{name: getattr(spec, name) for name in NamedOptions.model_fields},
        )

    def changed(self, spec: VLLM, changes: EngineChanges) -> VLLM:
        """A candidate's argument replaces the option of the same meaning that has a name."""
        return super().changed(vllm_named.without(spec, changes.args), changes)

    def ranks(self, spec: VLLM) -> int:
        """The tensor parallel size."""
        return spec.tensor_parallel_size

    def memory_share(self, spec: VLLM) -> Decimal:
        """gpuMemoryUtilization."""
        return Decimal(spec.gpu_memory_utilization)

    def stages(self, spec: VLLM) -> int:
        """The pipeline parallel size."""
        return spec.pipeline_parallel_size

    def cache_bits(self, spec: VLLM) -> float:
        """By kvCacheDtype, or the same in args."""
        return vllm_named.cache_bits(spec)

    def offloaded(self, spec: VLLM) -> int:
        """By --cpu-offload-gb; where groups of layers are offloaded, all of them."""
        return vllm_named.offloaded(spec)

    def at_once(self, spec: VLLM) -> int | None:
        """maxNumSeqs, or the same in args."""
        return vllm_named.at_once(spec)

    def devices(self, resolved: ResolvedVLLM) -> int:
        """A GPU for each rank of a stage."""
        return resolved.tensor_parallel_size if resolved.device == "GPU" else 0

    def group_size(self, resolved: ResolvedVLLM) -> int | None:
        """A pod for each stage; Ray alone makes a group of one."""
        grouped = resolved.pipeline_parallel_size > 1 or resolved.executor == "Ray"
        return resolved.pipeline_parallel_size if grouped else None

    def programs(self, served_name: str, resolved: ResolvedVLLM, only: Only) -> Programs:
        """By the executor."""
        engine = (*self.command, *self.arguments(served_name, resolved), *only.arguments)
        stages = resolved.pipeline_parallel_size
        if resolved.executor == "Process":
            return vllm_group.processes(engine, stages)
        return vllm_group.ray(engine, stages, self.devices(resolved))

    def asks_token(self, spec: VLLM) -> bool:
        """Ray does."""
        return spec.executor == "Ray"

    def group_environment(self, resolved: ResolvedVLLM, interface: str | None) -> Mapping[str, str]:
        """Network interfaces, and Ray's own settings."""
        return vllm_group.environment(resolved.executor, interface)

    def arguments(self, served_name: str, resolved: ResolvedVLLM) -> Sequence[str]:
        """Arguments of `vllm serve`, which listens on loopback only."""
        arguments = [
            "--served-model-name", served_name,
            "--host", "127.0.0.1",
            "--port", str(ENGINE_PORT),
            "--tensor-parallel-size", str(resolved.tensor_parallel_size),
            "--dtype", DTYPES[resolved.dtype],
        ]  # fmt: skip
        if resolved.max_model_len is not None:
            arguments += ["--max-model-len", str(resolved.max_model_len)]
        if resolved.device == "GPU":
            arguments += ["--gpu-memory-utilization", resolved.gpu_memory_utilization]
        return arguments + vllm_named.arguments(resolved) + resolved.args

    def measuring(self, resolved: ResolvedVLLM) -> Only:
        """The arguments of MEASURING, and a second copy of the log: the evaluator reads in it which kernels ran."""
        own = any(variable.name in LOGGING_SETTINGS for variable in resolved.env)
        return Only(MEASURING) if own else Only(MEASURING, {LOGGING_VARIABLE: ENGINE_LOGGING_PATH}, log_configuration())

    def serving(self, drain_seconds: int) -> Only:
        """Finish requests in flight before the end."""
        return Only(("--shutdown-timeout", str(drain_seconds)))

    def beside_answers(self, spec: VLLM, resolved: ResolvedVLLM) -> Sequence[str]:
        """The buckets of histograms, where the version has them."""
        return vllm_named.bucket_arguments(spec.histogram_buckets, resolved)

    def not_in_version(self, spec: VLLM, platform: Platform) -> list[Problem]:
        """Options that have a name, and that the image's vLLM lacks."""
        return vllm_named.not_in_version(spec, spec.image or platform.engine_image)

    def first_request(self, served_name: str) -> Request:
        """A completion over the OpenAI-compatible API."""
        body = json.dumps({"model": served_name, "prompt": "Hello", "max_tokens": 1})
        return Request("/v1/completions", body, '"choices"')

    def platform_rules(self, platform: Platform) -> tuple[Rule, ...]:
        """The lists of arguments and variables, and the platform's images."""
        return (*vllm_rules.rules(platform), vllm_rules.image_rule(platform))

    def not_allowed(self, asked: Asked, platform: Platform) -> list[Problem]:
        """Each by its name, by the list of the image's version."""
        return vllm_rules.problems(asked, platform)

    def environment(self) -> Mapping[str, str]:
        """No access to the hub, and no usage statistics."""
        return {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}

    def problems(self, spec: VLLM, facts: ModelFacts) -> list[Problem]:
        """Sizes that do not fit: vLLM splits attention heads over ranks; it splits or replicates key-value heads."""
        if spec.pipeline_parallel_size > facts.layers:
            message = f"{spec.pipeline_parallel_size} pods cannot share the model's {facts.layers} layers"
            action = f"use at most {facts.layers}"
            return [Problem("pipelineParallelSize", "TooManyStages", message, action)]
        if spec.executor == "Ray" and quantity(spec.shm_size) < quantity(vllm_group.RAY_MEMORY):
            message = f"Ray keeps its objects in shared memory, and {spec.shm_size} is too little"
            return [Problem("shmSize", "SharedMemoryTooSmall", message, f"use at least {vllm_group.RAY_MEMORY}")]
        size, field = spec.tensor_parallel_size, "tensorParallelSize"
        split = heads_that_split(size, facts)
        if split is not None:
            message = f"{size} does not divide the model's {split.count} {split.what}"
            fitting = [n for n in range(1, facts.attention_heads + 1) if fits_heads(n, facts)]
            return [Problem(field, "HeadsNotDivisible", message, f"use one of {', '.join(map(str, fitting))}")]
        if facts.key_value_heads % size and size % facts.key_value_heads:
            message = f"{size} neither divides nor is a multiple of the model's {facts.key_value_heads} key-value heads"
            action = f"use a divisor or a multiple of {facts.key_value_heads}"
            return [Problem(field, "KeyValueHeadsNotDivisible", message, action)]
        odd = [layer.name for layer in facts.linear if size_of_split(layer, facts) % size]
        if odd or (not facts.linear and facts.intermediate_size % size):
            message = f"{size} does not divide the channels of {some(odd) or 'the MLP'}"
            return [Problem(field, "LayerNotDivisible", message, "use a size that divides it")]
        return []


def heads_that_split(size: int, facts: ModelFacts) -> StateHeads | None:
    """Heads of which ranks of that number could not hold whole ones, each as many; None where they can."""
    every = (StateHeads(count=facts.attention_heads, what="attention heads"), *facts.state_heads)
    return next((heads for heads in every if heads.count % size), None)


def fits_heads(size: int, facts: ModelFacts) -> bool:
    """Whether ranks of that number share all heads evenly, or replicate those of keys and values."""
    key_value = facts.key_value_heads % size == 0 or size % facts.key_value_heads == 0
    return key_value and heads_that_split(size, facts) is None


def size_of_split(layer: LinearLayer, facts: ModelFacts) -> int:
    """Channels that ranks share; 0 where every rank may hold all of them."""
    if layer.split == "None" or layer.outputs == facts.key_value_heads * facts.head_dim:
        return 0
    return layer.inputs if layer.split == "Inputs" else layer.outputs


def log_configuration() -> str:
    """Python's logging.config.dictConfig as JSON: lines as vLLM writes them, to stdout and to ENGINE_LOG_PATH."""
    handlers = {
        "stdout": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stdout"},
        "file": {"class": "logging.FileHandler", "formatter": "line", "filename": ENGINE_LOG_PATH},
    }
    line = {"format": "%(levelname)s %(asctime)s [%(name)s:%(lineno)d] %(message)s", "datefmt": "%m-%d %H:%M:%S"}
    loggers = {"vllm": {"handlers": list(handlers), "level": "INFO", "propagate": False}}
    whole = {"version": 1, "disable_existing_loggers": False, "formatters": {"line": line}, "handlers": handlers}
    return json.dumps(whole | {"loggers": loggers})
