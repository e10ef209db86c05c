"""Quantiles of Student's t distribution, in pure Python: scipy would cost the operator 30 MiB (docs/design/gate.md)."""

from __future__ import annotations

from functools import lru_cache
from math import exp, inf, lgamma, log, log1p

_TINY = 1e-300
_PRECISION = 1e-15
_MAX_TERMS = 10_000
_MAX_HALVINGS = 200


@lru_cache(maxsize=1024)
def upper_quantile(tail: float, degrees: int) -> float:
    """The t with P(T > t) = tail, for 0 < tail <= 0.5 and at least one degree of freedom.

    Raises ValueError outside of that.
    """
    if not 0 < tail <= 0.5:
        raise ValueError(f"a tail probability lies above 0 and is at most 0.5, not {tail}")
    if degrees < 1:
        raise ValueError(f"Student's t needs at least one degree of freedom, not {degrees}")
    if tail == 0.5:
        return 0.0
    low, high = 0.0, 1.0
    while upper_tail(high, degrees) > tail:
        low, high = high, high * 2
        if high == inf:
            return inf
    for _ in range(_MAX_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if upper_tail(middle, degrees) > tail:
            low = middle
        else:
            high = middle
    return high


def upper_tail(t: float, degrees: int) -> float:
    """P(T > t) for t >= 0."""
    return 0.5 * incomplete_beta(degrees / (degrees + t * t), t * t / (degrees + t * t), degrees / 2, 0.5)


def incomplete_beta(x: float, complement: float, a: float, b: float) -> float:
    """The regularized incomplete beta function I_x(a, b); complement is 1 - x, given apart to keep its digits."""
    if x <= 0:
        return 0.0
    if complement <= 0:
        return 1.0
    # The continued fraction converges quickly on this side of the mean; the symmetry gives the other side.
    if x > (a + 1) / (a + b + 2):
        return 1.0 - incomplete_beta(complement, x, b, a)
    log_x = log1p(-complement) if complement < 0.5 else log(x)
    log_complement = log1p(-x) if x < 0.5 else log(complement)
    front = exp(a * log_x + b * log_complement + lgamma(a + b) - lgamma(a) - lgamma(b)) / a
    return front * _continued_fraction(x, a, b)


def _continued_fraction(x: float, a: float, b: float) -> float:
    """Lentz's method (DLMF 8.17.22)."""
    c = 1.0
    d = 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1.0))
    fraction = d
    for m in range(1, _MAX_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 / _not_zero(1.0 + even * d)
        c = _not_zero(1.0 + even / c)
        fraction *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1.0 / _not_zero(1.0 + odd * d)
        c = _not_zero(1.0 + odd / c)
        change = d * c
        fraction *= change
        if abs(change - 1.0) < _PRECISION:
            break
    return fraction


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
