"""Kubernetes quantities, and how much memory a further attempt of a Job may have."""

from __future__ import annotations

from decimal import Decimal

from lowbit.api.pods import JobOptions

_SUFFIXES = {"m": Decimal("0.001"), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12),
             "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40)}  # fmt: skip


def quantity(text: str) -> Decimal:
    """The number in a Kubernetes quantity: "2Gi" is 2147483648."""
    number = text.rstrip("mkMGTi")
    return Decimal(number) * _SUFFIXES.get(text[len(number) :], Decimal(1))


def larger_memory(options: JobOptions) -> str | None:
    """Twice the stage's memory limit, at most maxMemory; None where the manifest does not allow more."""
    limit = options.resources.limits.get("memory")
    if limit is None or options.max_memory is None or quantity(options.max_memory) <= quantity(limit):
        return None
    doubled = int(quantity(limit) * 2)
    return options.max_memory if doubled >= quantity(options.max_memory) else str(doubled)
