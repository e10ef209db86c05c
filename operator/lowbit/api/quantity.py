"""Kubernetes quantities as numbers."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

_SUFFIXES: Final = {
    "m": Decimal("0.001"), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40),
}  # fmt: skip


def quantity(text: str) -> Decimal:
    """The number in a Kubernetes quantity: "2Gi" is 2147483648."""
    number = text.rstrip("mkMGTi")
    return Decimal(number) * _SUFFIXES.get(text[len(number) :], Decimal(1))


def human(size: int) -> str:
    """A size for people: 14.2 GB."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit in ("B", "kB") else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} TB"
