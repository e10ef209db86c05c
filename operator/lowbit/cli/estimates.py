"""Estimated sizes, from the facts and the recipe alone. Pure arithmetic, in bytes."""

from __future__ import annotations

from dataclasses import dataclass

from lowbit.api.facts import BYTES_PER_WEIGHT, ModelFacts


@dataclass(frozen=True)
class Estimate:
    """Sizes of one candidate."""

    artifact: int
    """Files of the artifact."""
    weights_per_device: int
    """Weights in each device's memory when it is served."""
    cache_per_token: int
    """Key-value cache of one token on each device."""


def cache_bytes_per_token(facts: ModelFacts, tensor_parallel_size: int) -> int:
    """16-bit keys and values of every layer that keeps them all, on one of the ranks that share them."""
    return 2 * facts.attention_layers * facts.cache_values // min(tensor_parallel_size, facts.cache_heads)


def estimate(artifact: int, facts: ModelFacts, tensor_parallel_size: int) -> Estimate:
    """Sizes of an artifact of that many bytes, served over that many devices."""
    return Estimate(artifact, artifact // tensor_parallel_size, cache_bytes_per_token(facts, tensor_parallel_size))


def quantize_bytes(facts: ModelFacts, samples: int, max_tokens: int) -> int:
    """Host memory of the quantize Job: the original, and the hidden states of all samples into and out of a layer."""
    width = BYTES_PER_WEIGHT.get(facts.dtype, 2)
    return facts.weight_bytes + 2 * samples * max_tokens * facts.hidden_size * width


def human(size: int) -> str:
    """A size for people: 14.2 GB."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit in ("B", "kB") else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} TB"
