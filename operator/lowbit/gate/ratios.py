"""Bounds of the loss of precision or F1 of a class: linearised by influence values, then Hall's bound of their mean.

Both are ratios of counts, so units have no values of their own. The influence of a unit is how much one more of its
kind would move the loss; the error and the skewness of the loss are those of the mean influence, to first order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import log, sqrt
from typing import Final

from lowbit.api.status import ClassCounts, Measurement
from lowbit.api.suites.metric import Metric
from lowbit.gate import hall
from lowbit.gate.means import around
from lowbit.gate.measured import Bounds, Mean, NotMeasuredError, cells, check_sum, named

LEAST = 100
"""With fewer positives, or fewer units that a model calls positive, no bound is near enough."""
FULL = 200
"""With fewer (at an error of 0.05), one lost positive and one false alarm are added to the side that passes."""
GUARD = 0.2
"""With FULL and more, so much of both is added: without it 1.7 % passed at nominal 1."""


@dataclass(frozen=True)
class Kind:
    """Units of which the same is true and the same was said."""

    count: float
    positive: bool
    original: bool
    """Whether the original says that they are positive."""
    candidate: bool


@dataclass(frozen=True)
class Ratio:
    """A metric as a quotient of sums over units: hits weigh `hit` in both; others weigh 1 in the denominator."""

    hit: int
    missed: bool
    """Whether missed positives are in the denominator, beside hits and false alarms."""

    def parts(self, positive: bool, said: bool) -> tuple[int, int]:
        """What a unit adds to the numerator and to the denominator."""
        if positive and said:
            return self.hit, self.hit
        return 0, int(said or (positive and self.missed))


PRECISION: Final = Ratio(hit=1, missed=False)
F1: Final = Ratio(hit=2, missed=True)


def ratio_loss(
    ratio: Ratio, metric: Metric, measured: Measurement, confidence: float, threshold: float | None
) -> Bounds:
    """Bounds of the original's ratio less the candidate's."""
    if measured.classes is None:
        raise NotMeasuredError(f"{named(metric, measured)} was not measured")
    kinds = kinds_of(measured.classes)
    check_sum(metric, measured, [int(kind.count) for kind in kinds])
    least = least_positive(metric, measured, kinds)
    plain = estimate(ratio, kinds)
    # Without one difference the error is 0. The loss is then below what would show in so many units.
    hidden = unseen(least, confidence)
    lower, upper = around(plain, confidence) if plain.error > 0 else (-hidden, hidden)
    guarded = [*kinds, *added(least, confidence, threshold)]
    upper = max(upper, around(estimate(ratio, guarded), confidence)[1])
    return Bounds(plain.value, max(metric.least, lower), min(metric.greatest, upper), measured.count)


def added(positives: int, confidence: float, margin: float | None) -> list[Kind]:
    """What is added to the side that passes: a lost positive and a false alarm, or a part of them."""
    weight = 1 if positives < full_count(confidence, margin) else GUARD
    return [Kind(weight, True, True, False), Kind(weight, False, False, True)]


def kinds_of(classes: ClassCounts) -> list[Kind]:
    """The eight kinds."""
    said = ((True, True), (True, False), (False, True), (False, False))
    return [
        Kind(count, positive, *models)
        for positive, counts in ((True, classes.of_class), (False, classes.others))
        for count, models in zip(cells(counts), said, strict=True)
    ]


def least_positive(metric: Metric, measured: Measurement, kinds: Sequence[Kind]) -> int:
    """The fewest positives: true ones, or those that a model speaks of. Raises NotMeasuredError if below LEAST."""
    true, original, candidate = (
        int(sum(kind.count for kind in kinds if getattr(kind, said))) for said in ("positive", "original", "candidate")
    )
    least = min(true, original, candidate)
    if least < LEAST:
        raise NotMeasuredError(
            f"{named(metric, measured)} rests on {true} {metric.unit}s of the class, {original} that the original and "
            f"{candidate} that the candidate answers with it, and needs {LEAST} of each"
        )
    return least


def estimate(ratio: Ratio, kinds: Sequence[Kind]) -> Mean:
    """The loss, its standard error and its skewness, from the influence of each kind of units."""
    count = sum(kind.count for kind in kinds)
    original, candidate = (
        _influences(ratio, kinds, [getattr(kind, model) for kind in kinds]) for model in ("original", "candidate")
    )
    moves = [a - b for a, b in zip(original[1], candidate[1], strict=True)]
    second, third = (
        sum(k.count * move**power for k, move in zip(kinds, moves, strict=True)) / count for power in (2, 3)
    )
    unbiased = sqrt(count * (count - 1)) / (count - 2)
    skewness = unbiased * third / second**1.5 if second > 0 else 0.0
    return Mean(original[0] - candidate[0], sqrt(second / (count - 1)), skewness, round(count))


def _influences(ratio: Ratio, kinds: Sequence[Kind], said: Sequence[bool]) -> tuple[float, list[float]]:
    """The ratio of one model, and the influence of each kind of units on it."""
    parts = [ratio.parts(kind.positive, each) for kind, each in zip(kinds, said, strict=True)]
    count = sum(kind.count for kind in kinds)
    top, bottom = (sum(kind.count * part[end] for kind, part in zip(kinds, parts, strict=True)) for end in (0, 1))
    value = top / bottom
    return value, [count * (part[0] - value * part[1]) / bottom for part in parts]


def unseen(count: int, confidence: float) -> float:
    """The largest share of damaged units of which none may be among so many."""
    return float(1 - (1 - confidence) ** (1 / count))


def full_count(confidence: float, margin: float | None) -> int:
    """Positives with which a part is enough to be added: FULL with an error of 0.05, more with a smaller one."""
    full = max(FULL, round(FULL * log(1 - confidence) / log(0.05)))
    return max(full, hall.minimum_count(confidence, margin)) if margin is not None and 0 < margin < 1 else full


def minimum(ratio: Ratio, metric: Metric, confidence: float, margin: float | None) -> int:
    """Positives without which nothing passes: found with a candidate that answers all as the original does."""
    if margin is None or not 0 < margin < 1:
        return LEAST
    low, high = LEAST - 1, full_count(confidence, margin)
    while not _equal_passes(ratio, high, confidence, margin):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _equal_passes(ratio, middle, confidence, margin) else (middle, high)
    return high


def _equal_passes(ratio: Ratio, positives: int, confidence: float, margin: float) -> bool:
    kinds = [Kind(positives, True, True, True), Kind(positives, False, False, False)]
    kinds += added(positives, confidence, margin)
    return around(estimate(ratio, kinds), confidence)[1] <= margin and unseen(positives, confidence) <= margin


precision_loss = partial(ratio_loss, PRECISION)
f1_loss = partial(ratio_loss, F1)
minimum_of_precision = partial(minimum, PRECISION)
minimum_of_f1 = partial(minimum, F1)
