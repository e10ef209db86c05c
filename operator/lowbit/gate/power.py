"""How many samples a threshold needs, and with which probability it passes a candidate that is good.

Paired outcomes: Tango's score test under a trinomial distribution. Shares: the score test of a binomial one. Means:
gates that are played (gate/skewed.py). What a true candidate is like has to be assumed: gate/assumptions.py.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, sqrt
from statistics import NormalDist

from lowbit.gate import exact, hall
from lowbit.gate.exact import binomial
from lowbit.gate.tango import score

POWER = 0.8
"""Probability of passing a good candidate that a plan aims at."""
REACH = 0.3
"""The exact test's limit lies so near to the normal distribution's."""
LEAST_TERM = 1e-13
"""Smaller terms of a sum of probabilities are left out."""
_NORMAL = NormalDist()


def each(joint: float, thresholds: int) -> float:
    """Power that each of several independent thresholds needs, so that all pass together with this probability."""
    return float(joint ** (1 / max(1, thresholds)))


def paired_least(margin: float, confidence: float) -> int:
    """The fewest pairs: with fewer, a loss as large as the margin would too often show in none of them."""
    return hall.minimum_count(confidence, margin)


def paired_needed(margin: float, discordance: float, confidence: float, power: float, loss: float = 0.0) -> int | None:
    """Pairs that show with this power that a candidate loses at most the margin, if its true loss is `loss`.

    discordance: share of the pairs that one model gets right and the other wrong. None if no number would do.
    Source: Tango 1998; n = [(z(error) sqrt(v0) + z(power) sqrt(v)) / (margin - loss)]^2.
    """
    if loss >= margin:
        return None
    root = _NORMAL.inv_cdf(confidence) * sqrt(_limit_variance(margin, discordance, loss))
    root += _NORMAL.inv_cdf(power) * sqrt(max(discordance - loss * loss, 0.0))
    return max(paired_least(margin, confidence), ceil((root / (margin - loss)) ** 2))


def _limit_variance(margin: float, discordance: float, loss: float) -> float:
    """Variance that the restricted estimate goes to, where the loss is taken to be the margin."""
    linear = -discordance + (2 - loss) * margin
    constant = -(discordance - loss) / 2 * margin * (1 - margin)
    q = (sqrt(linear * linear - 8 * constant) - linear) / 4
    return 2 * q + margin * (1 - margin)


@lru_cache(maxsize=512)
def paired_power(count: int, margin: float, discordance: float, confidence: float, loss: float = 0.0) -> float:
    """Probability that count pairs pass: a sum over all outcomes, by the test that the gate uses."""
    critical = -_NORMAL.inv_cdf(confidence)
    if count <= exact.LARGEST and count >= paired_least(margin, confidence):
        critical = exact_limit(count, margin, confidence)
    return score_power(count, margin, discordance, confidence, loss, critical)


@lru_cache(maxsize=256)
def exact_limit(count: int, margin: float, confidence: float) -> float:
    """The largest of Tango's scores with which the exact test passes: its p-value rises with the score."""
    usual = -_NORMAL.inv_cdf(confidence)
    least, most = usual - REACH, usual + REACH
    found = [
        (score(lost, gained, count, margin), lost, gained)
        for discordant in range(1, count + 1)
        for lost in range(max(1, _most_lost(discordant, count, margin, least)), discordant + 1)
        for gained in [discordant - lost]
        if least <= score(lost, gained, count, margin) <= most
    ]
    found.sort()
    low, high = -1, len(found) - 1
    while low < high:
        middle = (low + high + 1) // 2
        _, lost, gained = found[middle]
        if exact.p_value(lost, gained, count, margin) <= 1 - confidence:
            low = middle
        else:
            high = middle - 1
    return found[low][0] if low >= 0 else least


def score_power(
    count: int, margin: float, discordance: float, confidence: float, loss: float, critical: float
) -> float:
    """Probability that Tango's score is at most the critical one."""
    if count < paired_least(margin, confidence) or discordance <= 0:
        return float(discordance <= 0 and count >= paired_least(margin, confidence))
    lost_share = (discordance + loss) / 2 / discordance
    whole = 0.0
    for discordant in range(count + 1):
        weight = binomial(discordant, count, discordance)
        if weight > LEAST_TERM:
            most = _most_lost(discordant, count, margin, critical)
            whole += weight * sum(binomial(lost, discordant, lost_share) for lost in range(most + 1))
    return min(1.0, whole)


def _most_lost(discordant: int, count: int, margin: float, critical: float) -> int:
    """The most pairs that only the original gets right, of the discordant ones, with which the gate passes; or -1."""
    low, high = -1, discordant
    while low < high:
        middle = (low + high + 1) // 2
        if score(middle, discordant - middle, count, margin) <= critical:
            low = middle
        else:
            high = middle - 1
    return low


def share_needed(least: float, true: float, confidence: float, power: float) -> int | None:
    """Units that show with this power that a share is at least `least`, if it is `true`."""
    if true <= least:
        return None
    root = _NORMAL.inv_cdf(confidence) * sqrt(least * (1 - least)) + _NORMAL.inv_cdf(power) * sqrt(true * (1 - true))
    return max(hall.minimum_count(confidence, 1 - least), ceil((root / (true - least)) ** 2))


def share_power(count: int, least: float, true: float, confidence: float) -> float:
    """Probability that count units show it, by the normal approximation."""
    if true <= least or count < hall.minimum_count(confidence, 1 - least):
        return 0.0
    spread = sqrt(max(true * (1 - true), 1e-12))
    root = sqrt(count) * (true - least) - _NORMAL.inv_cdf(confidence) * sqrt(least * (1 - least))
    return _NORMAL.cdf(root / spread)
