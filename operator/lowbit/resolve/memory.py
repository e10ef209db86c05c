"""Memory that a model needs: on each GPU that manifest or platform name, and of the node that quantizes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lowbit.api.engines import Engine, engine_of, field_path
from lowbit.api.facts import BYTES_PER_WEIGHT, ModelFacts
from lowbit.api.gpus import memory_of, slice_of
from lowbit.api.platform import Platform
from lowbit.api.problem import Problem
from lowbit.api.quantity import human, quantity
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.recipes import recipe_of
from lowbit.api.recipes.base import Fitting

OVERHEAD: Final = 2 * 10**9
"""CUDA's context, activations and captured graphs on each GPU, in bytes: vLLM takes between 1 and 3 GB for them."""
CACHE_BYTES: Final = 2
"""Of one value in the cache of keys and values."""
SMALLEST_LENGTH: Final = 1024
"""A shorter maxModelLen is not advised: nobody could use it."""


@dataclass(frozen=True)
class Needed:
    """Memory on each GPU, in bytes."""

    weights: int
    cache: int
    """Keys and values of one sequence of maxModelLen tokens."""

    @property
    def whole(self) -> int:
        """With what the engine itself takes."""
        return self.weights + self.cache + OVERHEAD


def cache_bytes(facts: ModelFacts, ranks: int, tokens: int) -> int:
    """Keys and values of one sequence on each of the ranks that share them. Layers with a window keep only that."""
    one = CACHE_BYTES * facts.cache_values // min(ranks, max(1, facts.cache_heads))
    kept = min(tokens, facts.window or tokens)
    return one * (facts.attention_layers * tokens + facts.window_layers * kept)


def needed(facts: ModelFacts, weight_bytes: int, ranks: int, tokens: int) -> Needed:
    """What weights of so many bytes need, shared among ranks, for a sequence of so many tokens."""
    return Needed(weight_bytes // ranks, cache_bytes(facts, ranks, tokens))


def check_memory(spec: QuantizedModelSpec, facts: ModelFacts, platform: Platform) -> list[Problem]:
    """Problems if what is measured does not fit the GPU that is named: the original, and each candidate.

    A candidate is smaller than its original: it is looked at only where the original has an engine of its own.
    """
    problems = _too_large(
        "the original", facts.weight_bytes, Holder(spec.original_field, spec.original_engine), facts, platform
    )
    if spec.evaluation.baseline.engine is None:
        return problems
    holder = Holder(field_path(spec.engine), spec.engine)
    fitting = Fitting(facts, engine_of(spec.engine)[0].ranks(engine_of(spec.engine)[1]))
    for index, candidate in enumerate(spec.candidates):
        kind, member = recipe_of(candidate)
        size = kind.artifact_bytes(member, fitting)
        if size is not None:
            problems += _too_large(f"candidate {index}", size, holder, facts, platform)
    return list(dict.fromkeys(problems))


@dataclass(frozen=True)
class Holder:
    """An engine, and its path in the manifest."""

    field: str
    engine: Engine


def _too_large(what: str, weights: int, holder: Holder, facts: ModelFacts, platform: Platform) -> list[Problem]:
    kind, settings = engine_of(holder.engine)
    name = settings.gpu or slice_of(settings.resources.limits) or platform.gpu
    if settings.device != "GPU" or name is None or not weights or not facts.cache_values:
        return []
    memory = memory_of(name)
    if memory is None:
        where = f"{holder.field}.gpu" if settings.gpu else "the platform's gpu"
        action = "write it like the node label nvidia.com/gpu.product (NVIDIA-H100-80GB-HBM3), or its memory (80Gi)"
        return [Problem(where, "UnknownGPU", f"Lowbit knows no memory of {name}", action)]
    ranks, tokens = kind.ranks(settings), facts.length(settings.max_model_len)
    room = int(memory * kind.memory_share(settings))
    wanted = needed(facts, weights, ranks, tokens)
    if wanted.whole <= room:
        return []
    message = (
        f"{what} needs {human(wanted.whole)} on each GPU (weights {human(wanted.weights)}, cache of {tokens} "
        f"tokens {human(wanted.cache)}, the engine itself {human(OVERHEAD)}), and {name} gives {human(room)}"
    )
    return [Problem(holder.field, "TooLargeForGPU", message, advice(facts, weights, Sizes(ranks, tokens, room)))]


@dataclass(frozen=True)
class Sizes:
    """How a model is held now."""

    ranks: int
    tokens: int
    room: int
    """Bytes on each GPU."""


def advice(facts: ModelFacts, weights: int, now: Sizes) -> str:
    """The nearest settings that would fit."""
    found, ranks, room = [], now.ranks, now.room
    shorter = longest(facts, weights, ranks, room)
    if SMALLEST_LENGTH <= shorter < now.tokens:
        found.append(f"maxModelLen of at most {shorter}")
    more = [size for size in range(ranks + 1, 65) if facts.attention_heads % size == 0]
    fits = next((size for size in more if needed(facts, weights, size, now.tokens).whole <= room), None)
    if fits is not None:
        found.append(f"tensorParallelSize {fits}")
    return f"use {' or '.join(found)}" if found else "use GPUs with more memory: no number of ranks of these fits"


def longest(facts: ModelFacts, weights: int, ranks: int, room: int) -> int:
    """The longest sequence, in whole 1024 tokens, whose cache fits beside the weights."""
    low, high = 0, max(1, facts.max_position_embeddings // 1024)
    while low < high:
        middle = (low + high + 1) // 2
        if needed(facts, weights, ranks, middle * 1024).whole <= room:
            low = middle
        else:
            high = middle - 1
    return low * 1024


def check_host_memory(spec: QuantizedModelSpec, facts: ModelFacts) -> list[Problem]:
    """A problem if a quantize Job on CPUs may not even hold the original."""
    options, limit = spec.jobs.quantize, spec.jobs.quantize.resources.limits.get("memory")
    made = any(recipe_of(candidate)[0].made_here for candidate in spec.candidates)
    if not made or options.device != "CPU" or limit is None or quantity(limit) >= facts.weight_bytes:
        return []
    message = f"{limit} do not hold the original's weights, {human(facts.weight_bytes)}"
    action = f"use at least {host_bytes(spec, facts) // 2**30 + 1}Gi"
    return [Problem("spec.jobs.quantize.resources.limits.memory", "HostMemoryTooSmall", message, action)]


def host_bytes(spec: QuantizedModelSpec, facts: ModelFacts) -> int:
    """Host memory of a quantize Job: the original, and the hidden states of all samples in and out of a layer."""
    tokens = max((each.samples * each.max_tokens for each in spec.calibrations().values()), default=0)
    return facts.weight_bytes + 2 * tokens * facts.hidden_size * BYTES_PER_WEIGHT.get(facts.dtype, 2)
