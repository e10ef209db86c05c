"""Memory that a model needs: on each GPU that manifest or platform name, and of the node that quantizes it.

Refused is only what vLLM would not start with either: weights, the cache of one sequence of maxModelLen tokens, and the
engine itself do not fit. How many such sequences fit at once is a number for people, and refuses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from lowbit.api.engines import AnyEngine, Engine, engine_of, field_path
from lowbit.api.engines.base import EngineSettings
from lowbit.api.facts import BYTES_PER_WEIGHT, ModelFacts
from lowbit.api.gpus import memory_of, slice_of
from lowbit.api.platform import Platform
from lowbit.api.problem import Problem
from lowbit.api.quantity import human, quantity
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.recipes import Recipe, recipe_of
from lowbit.api.recipes.base import Fitting
from lowbit.api.status import GPUMemory

OVERHEAD: Final = 2 * 10**9
"""CUDA's context, activations and captured graphs on each GPU, in bytes: vLLM takes between 1 and 3 GB for them."""
SMALLEST_LENGTH: Final = 1024
"""A shorter maxModelLen is not advised: nobody could use it."""
SMALL_CACHE_BITS: Final = 8
"""Of a value with kvCacheDtype FP8."""


@dataclass(frozen=True)
class Split:
    """How an engine spreads a model over its GPUs."""

    ranks: int
    """GPUs that share every layer."""
    stages: int = 1
    """Groups of GPUs, each with layers of its own (pipeline parallelism)."""
    cache_bits: float = 16
    """Of one value in the cache of keys and values."""
    offloaded: int = 0
    """Bytes of the weights that each GPU leaves in the host's memory."""


@dataclass(frozen=True)
class Needed:
    """Memory on the GPU that holds most, in bytes."""

    weights: int
    cache: int
    """Keys and values of one sequence of maxModelLen tokens."""

    @property
    def whole(self) -> int:
        """With what the engine itself takes."""
        return self.weights + self.cache + OVERHEAD

    def sequences(self, room: int) -> int:
        """How many sequences of maxModelLen tokens fit at once. vLLM logs it as its maximum concurrency."""
        return max(0, room - OVERHEAD - self.weights) // max(1, self.cache)


def layers_of_stages(layers: int, stages: int) -> list[int]:
    """Layers of each stage as vLLM deals them out: what is left over goes to those before the last."""
    dealt = [layers // stages] * stages
    for index in range(2, layers % stages + 2):
        dealt[-index] += 1
    return dealt


def cache_bytes(facts: ModelFacts, split: Split, tokens: int) -> int:
    """Keys and values of one sequence on a GPU of the largest stage. Layers with a window keep only that."""
    one = split.cache_bits / 8 * facts.cache_values / min(split.ranks, max(1, facts.cache_heads))
    kept = min(tokens, facts.window or tokens)
    whole = one * (facts.attention_layers * tokens + facts.window_layers * kept)
    return int(whole * max(layers_of_stages(facts.layers, split.stages)) / facts.layers)


def needed(facts: ModelFacts, weight_bytes: int, split: Split, tokens: int) -> Needed:
    """What weights of so many bytes need, for a sequence of so many tokens.

    Of several stages the first holds the embeddings, and the last the head.
    """
    on_one = weight_bytes
    if split.stages > 1:
        embeddings = facts.vocab_size * facts.hidden_size * BYTES_PER_WEIGHT.get(facts.dtype, 2)
        layers = max(0, weight_bytes - embeddings * (1 if facts.tied_embeddings else 2))
        dealt = layers_of_stages(facts.layers, split.stages)
        ends = embeddings + layers * max(dealt[0], dealt[-1]) // facts.layers
        on_one = max(ends, layers * max(dealt) // facts.layers)
    return Needed(max(0, on_one // split.ranks - split.offloaded), cache_bytes(facts, split, tokens))


def split_of(kind: AnyEngine, settings: EngineSettings) -> Split:
    """How an engine with these settings spreads a model."""
    return Split(kind.ranks(settings), kind.stages(settings), kind.cache_bits(settings), kind.offloaded(settings))


@dataclass(frozen=True)
class Holder:
    """An engine with what a candidate changes in it, and its path in the manifest."""

    field: str
    kind: AnyEngine
    settings: EngineSettings

    @property
    def split(self) -> Split:
        """How it spreads a model."""
        return split_of(self.kind, self.settings)

    def gpu(self, platform: Platform) -> str | None:
        """The GPU that it is held against, as manifest or platform name it; None for none."""
        if self.settings.device != "GPU":
            return None
        return self.settings.gpu or slice_of(self.settings.resources.limits) or platform.gpu

    def room(self, platform: Platform) -> int | None:
        """Bytes that it may take of each GPU; None if that is not known."""
        name = self.gpu(platform)
        memory = memory_of(name) if name is not None else None
        return int(memory * self.kind.memory_share(self.settings)) if memory is not None else None


def holder_of(field: str, engine: Engine, candidate: Recipe | None = None) -> Holder:
    """The engine of the original, or of a candidate."""
    kind, settings = engine_of(engine)
    if candidate is not None and candidate.engine is not None:
        settings = kind.changed(settings, candidate.engine)
    return Holder(field, kind, settings)


def check_memory(spec: QuantizedModelSpec, facts: ModelFacts, platform: Platform) -> list[Problem]:
    """Problems if what is measured does not fit the GPU that is named: the original, and each candidate.

    A candidate is smaller than its original: it is looked at only where its engine differs from the original's.
    """
    original = holder_of(spec.original_field, spec.original_engine)
    problems = _too_large("the original", facts.weight_bytes, original, facts, platform)
    own = spec.evaluation.baseline.engine is not None
    for index, candidate in enumerate(spec.candidates):
        size = artifact_bytes(spec, facts, index)
        if size is not None and (own or candidate.engine is not None):
            holder = holder_of(field_path(spec.engine), spec.engine, candidate)
            problems += _too_large(f"candidate {index}", size, holder, facts, platform)
    return list(dict.fromkeys(problems))


def artifact_bytes(spec: QuantizedModelSpec, facts: ModelFacts, index: int) -> int | None:
    """Estimated size of a candidate's artifact; None if it is unknown."""
    kind, member = recipe_of(spec.candidates[index])
    engine, settings = engine_of(spec.engine)
    return kind.artifact_bytes(member, Fitting(facts, engine.ranks(settings)))


def _too_large(what: str, weights: int, holder: Holder, facts: ModelFacts, platform: Platform) -> list[Problem]:
    name, room = holder.gpu(platform), holder.room(platform)
    if name is None or not weights or not facts.cache_values:
        return []
    if room is None:
        where = f"{holder.field}.gpu" if holder.settings.gpu else "the platform's gpu"
        action = "write it like the node label nvidia.com/gpu.product (NVIDIA-H100-80GB-HBM3), or its memory (80Gi)"
        return [Problem(where, "UnknownGPU", f"Lowbit knows no memory of {name}", action)]
    now = Held(facts, weights, holder.split, facts.length(holder.settings.max_model_len), room)
    wanted = now.needed
    if wanted.whole <= room:
        return []
    message = (
        f"{what} needs {human(wanted.whole)} on each GPU (weights {human(wanted.weights)}, cache of {now.tokens} "
        f"tokens {human(wanted.cache)}, the engine itself {human(OVERHEAD)}), and {name} gives {human(room)}"
    )
    return [Problem(holder.field, "TooLargeForGPU", message, advice(now))]


@dataclass(frozen=True)
class Held:
    """A model as it is held now, and the bytes that there are on each GPU."""

    facts: ModelFacts
    weights: int
    split: Split
    tokens: int
    room: int

    @property
    def needed(self) -> Needed:
        """What it needs on the GPU that holds most."""
        return needed(self.facts, self.weights, self.split, self.tokens)

    @property
    def fits(self) -> bool:
        """Whether the engine would start."""
        return self.needed.whole <= self.room


def shorter(now: Held) -> str | None:
    """The longest maxModelLen that would fit, in whole 1024 tokens."""
    low, high = 0, max(1, now.facts.max_position_embeddings // 1024)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if replace(now, tokens=middle * 1024).fits else (low, middle - 1)
    return f"maxModelLen of at most {low * 1024}" if SMALLEST_LENGTH <= low * 1024 < now.tokens else None


def ranks_that_share(now: Held) -> list[int]:
    """Larger sizes that share all heads."""
    heads, key_value = now.facts.attention_heads, max(1, now.facts.key_value_heads)
    larger = range(now.split.ranks + 1, 65)
    return [n for n in larger if heads % n == 0 and (key_value % n == 0 or n % key_value == 0)]


def more_ranks(now: Held) -> str | None:
    """The smallest tensorParallelSize that would fit."""
    fitting = (n for n in ranks_that_share(now) if replace(now, split=replace(now.split, ranks=n)).fits)
    found = next(fitting, None)
    return f"tensorParallelSize {found}" if found is not None else None


MOST_STAGES: Final = 64
"""As the manifest allows."""
USUAL_GPUS: Final = 8
"""Of a node, as a rule."""


def smaller_cache(now: Held) -> str | None:
    """An FP8 cache, if that would fit."""
    small = replace(now.split, cache_bits=SMALL_CACHE_BITS)
    fits = now.split.cache_bits > SMALL_CACHE_BITS and replace(now, split=small).fits
    return "kvCacheDtype FP8" if fits else None


def more_stages(now: Held) -> str | None:
    """The smallest pipelineParallelSize that would fit, where a pod of a usual node is too small."""
    in_a_pod = [n for n in ranks_that_share(now) if n <= USUAL_GPUS]
    if any(replace(now, split=replace(now.split, ranks=n)).fits for n in in_a_pod):
        return None
    ranks = max([now.split.ranks, *in_a_pod])
    sizes = range(now.split.stages + 1, min(now.facts.layers, MOST_STAGES) + 1)
    fitting = (n for n in sizes if replace(now, split=replace(now.split, ranks=ranks, stages=n)).fits)
    found = next(fitting, None)
    if found is None:
        return None
    told = f"tensorParallelSize {ranks} with " if ranks > now.split.ranks else ""
    return f"{told}pipelineParallelSize {found} (a group of {found} pods)"


CHANGES: Final = (shorter, smaller_cache, more_ranks, more_stages)
"""Settings that could make a model fit, each changed alone; those that cost nothing first."""


def advice(now: Held) -> str:
    """The nearest settings that would fit."""
    found = [text for change in CHANGES if (text := change(now)) is not None]
    return f"use {' or '.join(found)}" if found else "use GPUs with more memory: no number of these fits"


def gpu_memory(name: str, weights: int, holder: Holder, facts: ModelFacts, platform: Platform) -> GPUMemory | None:
    """What a model takes on each GPU, for status and plan; None on CPUs, and where the sizes are not known."""
    if holder.settings.device != "GPU" or not weights or not facts.cache_values:
        return None
    tokens, room = facts.length(holder.settings.max_model_len), holder.room(platform)
    wanted = needed(facts, weights, holder.split, tokens)
    return GPUMemory(
        name=name, weights=wanted.weights, cache=wanted.cache, engine=OVERHEAD, tokens=tokens,
        gpu=holder.gpu(platform), room=room, sequences=wanted.sequences(room) if room is not None else None,
    )  # fmt: skip


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
