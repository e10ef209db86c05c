"""How much memory a further attempt of a Job may have."""

from __future__ import annotations

from lowbit.api.pods import JobOptions
from lowbit.api.quantity import quantity


def larger_memory(options: JobOptions) -> str | None:
    """Twice the stage's memory limit, at most maxMemory; None where the manifest does not allow more."""
    limit = options.resources.limits.get("memory")
    if limit is None or options.max_memory is None or quantity(options.max_memory) <= quantity(limit):
        return None
    doubled = int(quantity(limit) * 2)
    return options.max_memory if doubled >= quantity(options.max_memory) else str(doubled)
