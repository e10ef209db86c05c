"""A metric: what a suite's numbers mean, which way is better, and how a gate may bound them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp, inf, log
from typing import Final, Literal

Scale = Literal["Linear", "Logarithmic"]


def _identity(value: float) -> float:
    return value


def _exp(value: float) -> float:
    try:
        return exp(value)
    except OverflowError:
        return inf


def _log(value: float) -> float:
    return log(value) if value > 0 else -inf


SCALES: Final[Mapping[Scale, tuple[Callable[[float], float], Callable[[float], float]]]] = {
    "Linear": (_identity, _identity),
    "Logarithmic": (_exp, _log),
}
"""From an estimate to the metric, and back."""


@dataclass(frozen=True)
class Metric:
    """One metric. The same name means the same in every suite."""

    name: str
    title: str
    """For tables: "KL divergence"."""
    meaning: str
    """What the number is, in a clause, for reports."""
    better: Literal["Lower", "Higher"]
    """Lower: a gate asks for a maximum. Higher: for a minimum."""
    explained: str = ""
    """What the number is, for `kubectl explain`; by default `meaning`."""
    unreachable: str = ""
    """Message for a threshold that every result passes, or none: what to write instead."""
    scale: Scale = "Linear"
    """The scale of the estimate, on which its error is symmetric."""
    least: float = 0.0
    greatest: float = inf
    """Ends of the metric's values."""
    bound: str | None = "Hall"
    """How its confidence bounds are computed (gate/bounds.py); None if it is only reported."""
    perfect: bool = False
    """Whether every unit may well have the best value there is, so that nothing varies."""
    loss: str | None = None
    """Name of the metric that is this one's loss against the original, paired by unit; None if no gate may ask for
    non-inferiority. The loss itself is not gated by a maximum."""
    implausible: float | None = None
    """Whoever is surely below it is better than the original by more than noise allows; None if nobody can be."""
    unit: str = "text"
    """What is counted, in the singular: units are independent."""

    def of(self, estimate: float) -> float:
        """The metric's value for an estimate on its scale."""
        return SCALES[self.scale][0](estimate)

    def estimate(self, value: float) -> float:
        """The inverse of `of`."""
        return SCALES[self.scale][1](value)
