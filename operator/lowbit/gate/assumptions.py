"""What a good candidate is taken to be like, so that a gate can be planned before there is one; or as a pilot was."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Final

from lowbit.api.status import Measurement
from lowbit.api.suites.metric import Metric
from lowbit.gate.skewed import Bar, Shape

DISCORDANCES: Final = ((0.01, 0.02), (0.02, 0.04), (0.03, 0.06), (0.05, 0.10))
"""(margin, share of questions that one model answers rightly and the other does not): who asks for a small margin
expects a small change."""
MOST_DISCORDANCE: Final = 0.15
"""With a larger margin than the last of DISCORDANCES."""
GOOD: Final = 0.6
"""The true value of a good candidate, as a share of its threshold."""
MIXED: Final = Shape(variation=1.31, skewness=6.18)
"""Losses of texts of several kinds and languages: log-normal with sigma 1. Texts of one kind differ less."""
RATIO_DEVIATION: Final = 0.1
"""Standard deviation of a text's logarithm of the perplexity ratio: they spread to both sides of a small mean."""
BETTER: Final = 0.05
"""The true share is taken to be so much above its threshold, or half of the way to 1 where that is less."""


@dataclass(frozen=True)
class Pairs:
    """A paired outcome of a good candidate."""

    discordance: float
    loss: float
    told: str


@dataclass(frozen=True)
class Units:
    """Units of a mean, scaled so that it is 1, and where the threshold lies."""

    shape: Shape
    share: float
    """The mean as a share of the threshold."""
    most: float | None
    """As in Bar."""
    told: str

    def bar(self, confidence: float) -> Bar:
        """What has to be passed."""
        return Bar(self.share, confidence, self.most)


def pairs(margin: float, pilot: Measurement | None) -> Pairs:
    """Both models are equally good, and differ by chance."""
    found = pilot.pairs if pilot is not None else None
    if pilot is None or found is None:
        usual = next((discordance for most, discordance in DISCORDANCES if margin <= most + 1e-9), MOST_DISCORDANCE)
        return Pairs(usual, 0.0, f"true loss 0, {usual:.0%} of the answers differ (assumed)")
    # One more of each kind than was seen: a pilot in which nothing differed does not say that nothing ever will.
    discordance = (found.original_only + found.candidate_only + 2) / (pilot.count + 4)
    return Pairs(discordance, 0.0, f"true loss 0, {discordance:.1%} of the answers differ (pilot of {pilot.count})")


def share(least: float, pilot: Measurement | None) -> tuple[float, str]:
    """The true share of a good candidate, and how it is told."""
    if pilot is not None and pilot.successes is not None:
        true = (pilot.successes + 1) / (pilot.count + 2)
        return true, f"true share {true:.3g} (pilot of {pilot.count})"
    true = least + min(BETTER, (1 - least) / 2)
    return true, f"true share {true:.3g} (assumed)"


def units(metric: Metric, threshold: float, pilot: Measurement | None) -> Units | None:
    """Losses of a good candidate's units. None if the pilot's numbers cannot be used."""
    higher = metric.better == "Higher"
    limit = metric.greatest - threshold if higher else metric.estimate(threshold)
    if limit <= 0:
        return None
    most = (metric.greatest - metric.least) / limit if metric.bound == "GuardedHall" else None
    if pilot is None or pilot.mean is None:
        ratios = Shape(RATIO_DEVIATION / (GOOD * limit), 0.0)
        shape = ratios if metric.scale == "Logarithmic" else MIXED
        told = f"{metric.unit}s differ with variation {shape.variation:.3g}, skewness {shape.skewness:.2g} (assumed)"
        return Units(shape, GOOD, most, f"true {_what(metric)} {GOOD:g} of what is allowed, {told}")
    value, error, skewness = (
        float(text) for text in (pilot.mean.value, pilot.mean.standard_error, pilot.mean.skewness)
    )
    mean, skewness = (metric.greatest - value, -skewness) if higher else (value, skewness)
    deviation = error * sqrt(pilot.count)
    if not isfinite(mean) or not isfinite(deviation) or deviation <= 0:
        return None
    skewness = max(skewness, 0.0) if isfinite(skewness) else 0.0
    told = f"{metric.unit}s differ with variation {deviation / abs(mean) if mean else 0:.2g}, skewness {skewness:.2g}"
    told = f"{_what(metric)} {shown(metric, value)}, {told} (pilot of {pilot.count})"
    # A mean at or below 0, of logarithms: the bound has no guard then, and moves along with all units.
    shift = 0.0 if mean > 0 else abs(limit - mean) / 100 - mean
    mean, limit = mean + shift, limit + shift
    return Units(Shape(deviation / mean, skewness), mean / limit, most, told)


def _what(metric: Metric) -> str:
    return "loss" if metric.better == "Higher" else "value"


def shown(metric: Metric, value: float) -> str:
    """A pilot's value, as the loss or as the metric."""
    return f"{metric.greatest - value if metric.better == 'Higher' else metric.of(value):.3g}"
