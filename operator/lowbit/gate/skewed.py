"""Gates played on units of a given shape: the power of Hall's bounds, which no formula tells well.

Units are drawn from a shifted log-normal distribution with the asked-for variation and skewness: always the same ones,
from a generator of our own, because the gate draws nothing by chance. A power is known to about 1.5 points.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import asinh, exp, log1p, sinh, sqrt
from statistics import NormalDist

from lowbit.gate import hall

GATES = 1000
"""An even number: every gate has a mirror image, which takes out part of the chance."""
MOST = 4000
"""Larger counts are not played: it would take seconds."""
STEP = 1.05
"""Ratio of neighbouring counts in a search."""
ALIKE = 0.01
"""Below this skewness units count as normally distributed."""
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Shape:
    """How units differ: their mean is 1."""

    variation: float
    """Standard deviation, as a share of the mean."""
    skewness: float


@dataclass(frozen=True)
class Play:
    """What one gate measured."""

    mean: float
    error: float
    skewness: float


@dataclass(frozen=True)
class Bar:
    """What has to be passed: the true mean is a share of the threshold."""

    share: float
    confidence: float
    most: float | None
    """The largest loss that a unit can have, in thresholds: no added unit is worse. None if the bound adds none."""

    def passed(self, play: Play, count: int) -> bool:
        """Whether the upper bound is at most the threshold."""
        limit = 1 / self.share
        bound = hall.upper(play.mean, play.error, play.skewness, count, self.confidence)
        if self.most is not None:
            added = max(play.mean, min(self.most * limit, hall.guard_of(limit, count)))
            bound = max(bound, hall.guarded_upper(play.mean, play.error, play.skewness, count, self.confidence, added))
        return bound <= limit


def power(shape: Shape, count: int, bar: Bar) -> float:
    """Probability that count units pass."""
    plays = _gates(shape).at(min(count, MOST))
    return sum(bar.passed(play, min(count, MOST)) for play in plays) / len(plays)


def needed(shape: Shape, bar: Bar, wanted: float, least: int) -> int | None:
    """The smallest count, from `least`, that passes with this probability; None if it is above MOST."""
    if bar.share >= 1:
        return None
    count = least
    while count <= MOST:
        if power(shape, count, bar) >= wanted:
            return count
        count = max(count + 1, round(count * STEP))
    return None


@dataclass
class _Gate:
    """One gate's units so far: their number and power sums, and the generator's state."""

    state: int
    sign: int
    count: int = 0
    sums: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass
class _Gates:
    """Every gate of one shape. Units are added as larger counts are asked for."""

    shape: Shape
    gates: list[_Gate] = field(default_factory=list)
    played: dict[int, list[Play]] = field(default_factory=dict)

    def at(self, count: int) -> list[Play]:
        """What every gate measured at this count."""
        if count not in self.played:
            if not self.gates or self.gates[0].count > count:
                self.gates = [_Gate(_seed(index // 2), 1 - 2 * (index % 2)) for index in range(GATES)]
            self.played[count] = [self._grown(gate, count) for gate in self.gates]
        return self.played[count]

    def _grown(self, gate: _Gate, count: int) -> Play:
        """Add units to one gate. Sums are of a unit's distance to the true mean, in standard deviations."""
        skewed, state, sign = self.shape.skewness >= ALIKE, gate.state, gate.sign
        sigma = _sigma(self.shape.skewness) if skewed else 1.0
        half, spread = sigma * sigma / 2, sqrt(exp(sigma * sigma) - 1)
        first, second, third = gate.sums
        for _ in range(count - gate.count):
            state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
            normal = sign * _NORMAL.inv_cdf(((state >> 11) + 0.5) / 9007199254740992)
            x = (exp(sigma * normal - half) - 1) / spread if skewed else normal
            first += x
            second += x * x
            third += x * x * x
        gate.state, gate.count, gate.sums = state, count, (first, second, third)
        mean = first / count
        square = second - count * mean * mean
        cube = third - 3 * mean * second + 2 * count * mean**3
        deviation = sqrt(square / (count - 1))
        skewness = count * cube / ((count - 1) * (count - 2) * deviation**3)
        variation = self.shape.variation
        return Play(1 + variation * mean, variation * deviation / sqrt(count), skewness)


@lru_cache(maxsize=16)
def _gates(shape: Shape) -> _Gates:
    return _Gates(shape)


def _seed(index: int) -> int:
    """Start of Knuth's MMIX generator, far apart for neighbours."""
    return (index * 0x9E3779B97F4A7C15 + 0x2545F4914F6CDD1D) & 0xFFFFFFFFFFFFFFFF


def _sigma(skewness: float) -> float:
    """The sigma of the log-normal distribution of this skewness: x^3 + 3 x for x = sqrt(exp(sigma^2) - 1)."""
    x = 2 * sinh(asinh(skewness / 2) / 3)
    return sqrt(log1p(x * x))
