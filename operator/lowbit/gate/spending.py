"""Boundaries of several looks at growing samples, so that all of them together err as rarely as one look would.

Lan and DeMets 1983, with the spending function that is like O'Brien and Fleming's: early looks need very clear
evidence, and the last one costs little. By the recursion of Armitage, McPherson and Rowe 1969.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, pi, sqrt
from statistics import NormalDist

POINTS = 161
"""Of Simpson's rule on one look's scores; the boundaries are then right to six digits. An odd number."""
REACH = 8.0
"""Standard deviations below 0 where scores begin: nothing lies beyond."""
FARTHEST = 12.0
"""The largest boundary that is looked for."""
HALVINGS = 60
_NORMAL = NormalDist()


@lru_cache(maxsize=256)
def boundaries(looks: int, error: float) -> tuple[float, ...]:
    """One-sided z boundaries of looks at equal parts: look i decides when the score is beyond boundary i.

    error: probability of a false pass over all looks together, above 0 and at most 0.5.
    """
    if looks < 1 or not 0 < error <= 0.5:
        raise ValueError(f"{looks} looks with an error of {error} have no boundaries")
    if looks == 1:
        return (-_NORMAL.inv_cdf(error),)
    found: list[float] = []
    spent, before = 0.0, _Scores([0.0], [1.0])
    for look in range(1, looks + 1):
        share = spending(look / looks, error) - spent
        boundary = _boundary(before, look, looks, share)
        found.append(boundary)
        spent += share
        before = before.grown(boundary, look, looks)
    return tuple(found)


def spending(part: float, error: float) -> float:
    """How much of the error may have been spent when this part of the samples is there."""
    return 2 * _NORMAL.cdf(_NORMAL.inv_cdf(error / 2) / sqrt(part))


def spent(confidence: float, attempt: int) -> float:
    """The confidence of the j-th attempt on the same samples, so that all attempts together err no more often than one.

    The errors 1 / (j (j + 1)) add up to 1.
    """
    return 1 - (1 - confidence) / (attempt * (attempt + 1))


class _Scores:
    """Scores of gates that no look has decided: points on an axis, each with its share of all gates."""

    def __init__(self, points: list[float], shares: list[float]) -> None:
        self.points = points
        self.shares = shares

    def beyond(self, limit: float, deviation: float) -> float:
        """Share of all gates whose score is above the limit after one more step."""
        return sum(
            share * _NORMAL.cdf((point - limit) / deviation)
            for point, share in zip(self.points, self.shares, strict=True)
        )

    def grown(self, boundary: float, look: int, looks: int) -> _Scores:
        """The scores after this look, without those that it decides."""
        deviation = sqrt(1 / looks)
        low, high = -REACH * sqrt(look / looks), boundary * sqrt(look / looks)
        step = (high - low) / (POINTS - 1)
        points = [low + index * step for index in range(POINTS)]
        old = list(zip(self.points, self.shares, strict=True))
        scale = 1 / (deviation * sqrt(2 * pi))
        shares = []
        for index, at in enumerate(points):
            density = sum(share * exp(-(((at - point) / deviation) ** 2) / 2) for point, share in old) * scale
            simpson = 1 if index in (0, POINTS - 1) else 4 if index % 2 else 2
            shares.append(density * simpson * step / 3)
        return _Scores(points, shares)


def _boundary(before: _Scores, look: int, looks: int, share: float) -> float:
    """The z that this share of all gates crosses at this look."""
    low, high = 0.0, FARTHEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if before.beyond(middle * sqrt(look / looks), sqrt(1 / looks)) > share:
            low = middle
        else:
            high = middle
    return high
